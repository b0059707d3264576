//! Invariants of the code: which modules may use which crates and system interfaces.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path below its package, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines of code, without comments and without tests.
    fn code(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        lines.filter(|line| !line.trim_start().starts_with("//"))
    }

    /// Whether the code contains one of these words.
    fn mentions(&self, words: &[&str]) -> bool {
        let is_part = |char: char| char.is_alphanumeric() || char == '_';
        let mut found = self.code().flat_map(|line| line.split(|char| !is_part(char)));
        found.any(|word| words.contains(&word))
    }

    /// Whether the code uses one of these crates: `name::`, also in a `use`.
    fn uses(&self, crates: &[&str]) -> bool {
        self.code().any(|line| {
            crates.iter().any(|name| {
                line.match_indices(&format!("{name}::")).any(|(at, _)| {
                    !line[..at].ends_with(|char: char| char.is_alphanumeric() || char == '_' || char == ':')
                })
            })
        })
    }
}

/// All Rust sources of a package, in order.
fn sources(package: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package);
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(&root).expect("the file is below the root").to_string_lossy().into_owned(),
        text: fs::read_to_string(&path).expect("the file is readable"),
    };
    paths.into_iter().map(read).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Asserts that `is_found` finds at least one of the host's sources, and only sources in these modules.
fn only_in(modules: &[&str], what: &str, is_found: impl Fn(&Source) -> bool) {
    let found: Vec<String> =
        sources("host/src").into_iter().filter(|source| is_found(source)).map(|it| it.path).collect();
    assert!(!found.is_empty(), "{what} is not found anywhere: does this test still search for the right names?");
    for path in found {
        let is_allowed =
            modules.iter().any(|module| path == *module || module.ends_with('/') && path.starts_with(module));
        assert!(is_allowed, "host/src/{path} uses {what}, but only {modules:?} may");
    }
}

#[test]
fn only_the_wasm_kind_uses_wasmtime() {
    let crates = ["wasmtime", "wasmtime_wasi", "wasmtime_wasi_http", "wasmtime_wasi_io"];
    only_in(&["kind/wasm.rs", "kind/wasm/"], "wasmtime", |source| source.uses(&crates));
}

#[test]
fn only_the_wasm_kind_and_composition_read_and_write_components() {
    let crates = ["wac_graph", "wasm_encoder", "wasmparser", "wit_component", "wit_parser"];
    only_in(&["kind/wasm.rs", "kind/wasm/", "compose/"], "components", |source| source.uses(&crates));
    only_in(&["compose/"], "composition", |source| source.uses(&["wac_graph"]));
}

#[test]
fn only_transport_uses_hyper() {
    only_in(&["transport.rs", "transport/"], "hyper", |source| source.uses(&["hyper", "hyper_util"]));
}

#[test]
fn only_the_viewer_uses_axum() {
    only_in(&["viewer.rs", "viewer/"], "axum", |source| source.uses(&["axum"]));
}

#[test]
fn only_args_uses_clap() {
    let crates = ["anstream", "clap", "clap_complete", "clap_mangen"];
    only_in(&["program/args.rs", "program/args/"], "clap", |source| source.uses(&crates));
}

#[test]
fn only_the_two_watches_use_notify() {
    only_in(&["source/watch.rs", "kind/files/watch.rs"], "notify", |source| source.uses(&["notify"]));
}

#[test]
fn files_are_opened_and_listed_below_a_handle_in_four_places() {
    let places =
        ["kind/files/root.rs", "kind/files/listing.rs", "kind/wasm/python/dirs.rs", "kind/wasm/python/locks.rs"];
    only_in(&places, "cap-primitives", |source| source.uses(&["cap_primitives"]));
}

#[test]
fn other_programs_are_run_only_where_that_is_the_purpose() {
    let runs = |source: &Source| source.code().any(|line| line.contains("Command::new("));
    let modules = [
        "source/build/cargo.rs",
        "source/python/install.rs",
        "kind/wasm/compile.rs",
        "lifecycle/browser.rs",
        "lifecycle/exec.rs",
    ];
    only_in(&modules, "other programs", runs);
}

#[test]
fn sockets_are_used_only_where_they_are_made_and_served() {
    let sockets = ["TcpListener", "TcpStream", "TcpSocket", "UdpSocket", "UnixListener", "UnixStream"];
    let modules = [
        "server.rs",
        "server/accept.rs",
        // Both ends of a connection to ourselves.
        "server/guest.rs",
        "replay/door.rs",
        "server/socket.rs",
        "transport.rs",
        "transport/acceptor.rs",
        "transport/admin.rs",
        "transport/socket.rs",
        "viewer.rs",
        // Those of guests, which the grants decide on.
        "kind/wasm/wasi_http_3/explain.rs",
        "program/commands/dump.rs",
        "program/commands/serve.rs",
        "program/commands/serve/metrics.rs",
    ];
    only_in(&modules, "sockets", |source| source.mentions(&sockets));
}

#[test]
fn the_environment_is_read_only_at_start() {
    let reads = |source: &Source| source.code().any(|line| line.contains("env::var") || line.contains("env::args"));
    let modules =
        ["program/args.rs", "program/args/value.rs", "program/args/wrap.rs", "base/dirs.rs", "lifecycle/browser.rs"];
    only_in(&modules, "the environment", reads);
}

#[test]
fn p19_the_wall_clock_is_used_only_for_timestamps_and_beside_the_times_of_files() {
    let modules = [
        "base/output.rs",
        "event/exchange.rs",
        "exchange/in_progress.rs",
        "capture/archive/segments.rs",
        "capture/recording.rs",
        "kind/files/conditions.rs",
        "kind/files/listing.rs",
        "kind/wasm/cache.rs",
        "program/commands/serve.rs",
        "source/build/cargo.rs",
        "source/scope.rs",
        "source/watch.rs",
    ];
    only_in(&modules, "the wall clock", |source| source.mentions(&["SystemTime"]));
}

#[test]
fn an_engine_is_built_in_one_place() {
    let builds = |source: &Source| {
        source.code().any(|line| line.contains("wasmtime::Engine::new") || line.contains("Config::new()"))
    };
    only_in(&["kind/wasm/settings.rs"], "`Engine::new`", builds);
}

#[test]
fn the_gateway_reads_no_clock_and_does_no_io() {
    for source in sources("host/gateway/src") {
        assert!(
            !source.mentions(&["fs", "thread", "Instant", "SystemTime", "TcpStream"]),
            "{} is not pure",
            source.path
        );
    }
}

#[test]
fn the_formats_of_captures_read_no_clock_and_do_no_io() {
    let is_format = |path: &str| {
        let formats = ["capture/export", "capture/message.rs", "capture/redact.rs", "capture/warc/"];
        formats.iter().any(|format| path.starts_with(format)) && path != "capture/warc/files.rs"
    };
    let sources = sources("host/src");
    let formats: Vec<&Source> = sources.iter().filter(|source| is_format(&source.path)).collect();
    assert!(formats.len() > 10, "the list of files is out of date");
    for source in formats {
        assert!(
            !source.mentions(&["fs", "thread", "Instant", "SystemTime", "TcpStream"]),
            "{} is not pure",
            source.path
        );
    }
}

#[test]
fn main_only_dispatches() {
    let sources = sources("host/src");
    let main = sources.iter().find(|source| source.path == "main.rs").expect("main.rs exists");
    assert!(main.text.lines().count() < 40, "host/src/main.rs does more than dispatch");
}

#[test]
fn only_bindings_two_calls_and_the_memories_of_python_are_unsafe() {
    // The workspace's lints deny unsafe code, so each exception has to be stated.
    for package in ["host", "guest-sdk", "examples"] {
        for source in sources(package).iter().filter(|source| source.mentions(&["unsafe_code"])) {
            let excepted = [
                ("guest-sdk", "src/lib.rs"),
                ("guest-sdk", "src/filter.rs"),
                ("guest-sdk", "src/handler.rs"),
                // Its module `arena`, and what is generated.
                ("host", "provider/src/lib.rs"),
                ("host", "src/kind/wasm/footprint.rs"),
                ("host", "src/kind/wasm/image/copies.rs"),
            ];
            assert!(excepted.contains(&(package, &*source.path)), "{package}: {}", source.path);
        }
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("the file is readable");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{package} does not use the workspace's lints");
    }
}

#[test]
fn every_profile_unwinds() {
    let manifest =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).expect("the file is readable");
    let panics: Vec<&str> = manifest.lines().filter(|line| line.starts_with("panic")).collect();
    assert_eq!(panics, ["panic = \"unwind\""; 2], "a panic in a host function must end one exchange, not the process");
}

#[test]
fn every_file_has_module_docs_and_a_meaningful_name() {
    for package in ["host", "guest-sdk", "examples", "tests"] {
        for Source { path, text } in sources(package) {
            assert!(
                text.starts_with("//!") || path.ends_with("bindings.rs"),
                "{package}/{path} does not start with `//!`"
            );
            let name = path.rsplit('/').next().unwrap_or(&path);
            let nameless = ["mod.rs", "util.rs", "utils.rs", "common.rs", "helper.rs", "helpers.rs", "misc.rs"];
            assert!(!nameless.contains(&name), "{package}/{path} has a meaningless name");
        }
    }
}
