//! Who has what a handler imports.

use anyhow::bail;

use super::handler::Keep;

/// What every host of `wasi:http/proxy` has, without versions.
const PROXY: [&str; 11] = [
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
];

/// The packages of `wasi:cli/command`. What of them is not in [`PROXY`] has a stand-in.
const COMMAND: [&str; 4] = ["wasi:cli/", "wasi:filesystem/", "wasi:random/", "wasi:sockets/"];

/// The package of key-value stores.
const KEYVALUE: &str = "wasi:keyvalue/";

/// The package of our own interfaces.
const GATEWAY: &str = "wasmserve:gateway/";

/// What Python imports from the server: hash functions, and a way to show its memory.
const PASSWORDS: &str = "wasmserve:python/passwords@";
const MEMORY: &str = "wasmserve:python/memory@";

/// What a handler imports, by who has it.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// From the provider.
    pub(super) provider: Vec<String>,
    /// From the stand-in.
    pub(super) stand_in: Vec<String>,
}

impl Needs {
    /// Finds out who has these interfaces.
    ///
    /// # Errors
    ///
    /// An interface is one that no host of `wasi:http` has.
    pub(super) fn of(imports: &[String], keep: Keep) -> anyhow::Result<Self> {
        let mut needs = Self::default();
        for import in imports {
            if import.starts_with(GATEWAY) || import.starts_with(PASSWORDS) {
                needs.provider.push(import.clone());
            } else if is_hosts(import, keep) {
                // The result imports it, too.
            } else if import.starts_with(MEMORY) || is_of_command(import) {
                needs.stand_in.push(import.clone());
            } else if import.starts_with(KEYVALUE) {
                bail!("it imports `{import}`; `--with-kv` leaves that to the host, which then has to have it");
            } else {
                bail!("it imports `{import}`, which the hosts of wasi:http do not have");
            }
        }
        Ok(needs)
    }
}

/// Whether the host has this interface.
pub(super) fn is_hosts(import: &str, keep: Keep) -> bool {
    let name = import.split_once('@').map_or(import, |(name, _)| name);
    // Drafts have the same names.
    let is_stable =
        import.split_once('@').is_some_and(|(_, version)| version.starts_with("0.2.") && !version.contains('-'));
    PROXY.contains(&name) && is_stable
        || keep.cli && is_of_command(import)
        || keep.keyvalue && import.starts_with(KEYVALUE)
}

fn is_of_command(import: &str) -> bool {
    COMMAND.iter().any(|package| import.starts_with(package))
}
