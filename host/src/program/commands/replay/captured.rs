//! What a capture says about the server that it is from, without which its requests cannot be replayed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use wasmserve_gateway::mounts::Mount;

use crate::{
    capture::{record::Record, warc},
    program::task::ReplayOptions,
    source::{example, locate::Named},
};

/// What is known from a capture.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    /// Its files, in the order in which they were written.
    pub files: Vec<PathBuf>,
    /// How many exchanges there are to replay.
    exchanges: u64,
    /// The handlers at each mount.
    handlers: BTreeMap<String, BTreeSet<String>>,
    /// The names of the variables that handlers were granted.
    pub env: BTreeSet<String>,
    /// The value of `--server-name`, if there was one.
    pub server_name: Option<String>,
    /// The addresses of proxies that were trusted.
    pub proxies: BTreeSet<String>,
}

impl Captured {
    /// Reads a file, or all files of a directory. What cannot be read of them is found later.
    ///
    /// # Errors
    ///
    /// The path cannot be read, or is a directory without captures.
    pub(crate) fn read(path: &Path, options: &ReplayOptions) -> anyhow::Result<Self> {
        let mut captured = Self { files: warc::paths(path)?, ..Self::default() };
        for record in warc::read_path(path)?.filter(|record| options.is_chosen(record)) {
            captured.add(record);
        }
        Ok(captured)
    }

    fn add(&mut self, record: Record) {
        self.exchanges += 1;
        let (Some(facts), Some(handler)) = (record.facts, record.handler) else { return };
        if facts.forwarded_for.is_some() || facts.is_https.is_some() {
            self.proxies.insert(record.remote.ip().to_canonical().to_string());
        }
        self.env.extend(facts.env);
        self.server_name = self.server_name.take().or(facts.server_name);
        self.handlers.entry(facts.mount).or_default().insert(handler.name);
    }

    /// Whether there is no exchange to replay.
    pub(crate) fn is_empty(&self) -> bool {
        self.exchanges == 0
    }

    /// Where a handler is mounted that the user names without a mount.
    pub(crate) fn mount(&self) -> Mount {
        let only = self.handlers.keys().next().filter(|_| self.handlers.len() == 1);
        only.and_then(|mount| mount.parse().ok()).unwrap_or(Mount::ROOT)
    }

    /// The handlers that the capture names.
    ///
    /// # Errors
    ///
    /// It names none, several for one mount, or one that was behind filters.
    pub(crate) fn handlers(&self) -> anyhow::Result<Vec<(Mount, Named)>> {
        if self.handlers.is_empty() {
            bail!("the capture names no handler; add one, as in `wasmserve replay CAPTURE HANDLER`");
        }
        let named = self.handlers.iter().map(|(mount, names)| {
            let (Some(name), 1) = (names.first(), names.len()) else {
                bail!("the capture names {} handlers at `{mount}`; add the one to replay into", names.len());
            };
            if name.contains(", behind ") {
                bail!("the handler of the capture had filters: {name}; add HANDLER and --wrap FILTER");
            }
            let built_in = name.strip_suffix(" (built in)").and_then(example::built_in);
            let named = built_in.map_or_else(|| Named::from(OsString::from(name)), Named::Example);
            Ok((mount.parse().map_err(|why| anyhow!("the capture has a wrong mount: {why}"))?, named))
        });
        named.collect()
    }
}
