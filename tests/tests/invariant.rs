//! What must stay true of the code: who may use what, and where a thing is done.

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

    /// Whether the code has one of these words, as a whole word.
    fn says(&self, words: &[&str]) -> bool {
        let is_part = |char: char| char.is_alphanumeric() || char == '_';
        let mut spoken = self.code().flat_map(|line| line.split(|char| !is_part(char)));
        spoken.any(|word| words.contains(&word))
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
        path: path.strip_prefix(&root).expect("it is below").to_string_lossy().into_owned(),
        text: fs::read_to_string(&path).expect("it is readable"),
    };
    paths.into_iter().map(read).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("it is a directory of ours") {
        let path = entry.expect("it is readable").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Asserts that of the host's sources only those in these rooms are found by `is_found`, and that some are.
fn only_in(rooms: &[&str], what: &str, is_found: impl Fn(&Source) -> bool) {
    let found: Vec<String> =
        sources("host/src").into_iter().filter(|source| is_found(source)).map(|it| it.path).collect();
    assert!(!found.is_empty(), "{what} is not found anywhere: does this test still look for it?");
    for path in found {
        let is_allowed = rooms.iter().any(|room| path == *room || room.ends_with('/') && path.starts_with(room));
        assert!(is_allowed, "host/src/{path} knows {what}, and only {rooms:?} may");
    }
}

#[test]
fn wasmtime_is_known_to_the_wasm_kinds_only() {
    let crates = ["wasmparser", "wasmtime", "wasmtime_wasi", "wasmtime_wasi_http", "wasmtime_wasi_io"];
    only_in(&["kind/wasm.rs", "kind/wasm/"], "wasmtime", |source| source.uses(&crates));
}

#[test]
fn hyper_is_known_in_transport_only() {
    only_in(&["transport.rs", "transport/"], "hyper", |source| source.uses(&["hyper", "hyper_util"]));
}

#[test]
fn clap_is_known_in_args_only() {
    let crates = ["anstream", "clap", "clap_complete", "clap_mangen"];
    only_in(&["program/args.rs", "program/args/"], "clap", |source| source.uses(&crates));
}

#[test]
fn notify_is_known_in_watch_only() {
    only_in(&["source/watch.rs"], "notify", |source| source.uses(&["notify"]));
}

#[test]
fn other_programs_are_run_where_that_is_asked_for_only() {
    let runs = |source: &Source| source.code().any(|line| line.contains("Command::new("));
    let rooms = ["source/build/cargo.rs", "kind/wasm/compile.rs", "lifecycle/browser.rs", "lifecycle/exec.rs"];
    only_in(&rooms, "how to run a program", runs);
}

#[test]
fn sockets_are_known_where_they_are_made_and_served_only() {
    let sockets = ["TcpListener", "TcpStream", "TcpSocket", "UdpSocket", "UnixListener", "UnixStream"];
    let rooms = [
        "server.rs",
        "server/accept.rs",
        "server/socket.rs",
        "transport.rs",
        "transport/acceptor.rs",
        "transport/admin.rs",
        "transport/socket.rs",
        "program/commands/dump.rs",
        "program/commands/serve.rs",
    ];
    only_in(&rooms, "sockets", |source| source.says(&sockets));
}

#[test]
fn the_environment_is_read_at_start_only() {
    let reads = |source: &Source| source.code().any(|line| line.contains("env::var") || line.contains("env::args"));
    let rooms = ["program/args.rs", "program/args/value.rs", "base/dirs.rs", "lifecycle/browser.rs"];
    only_in(&rooms, "the environment", reads);
}

#[test]
fn p19_the_wall_clock_is_for_stamps_only() {
    let rooms = ["event/exchange.rs", "exchange/in_progress.rs", "kind/wasm/cache.rs"];
    only_in(&rooms, "the wall clock", |source| source.says(&["SystemTime"]));
}

#[test]
fn an_engine_is_built_in_one_place() {
    let builds = |source: &Source| {
        source.code().any(|line| line.contains("wasmtime::Engine::new") || line.contains("Config::new()"))
    };
    only_in(&["kind/wasm/settings.rs"], "how to build an engine", builds);
}

#[test]
fn the_gateway_reads_no_clock_and_touches_nothing() {
    for source in sources("host/gateway/src") {
        assert!(!source.says(&["fs", "thread", "Instant", "SystemTime", "TcpStream"]), "{} is not pure", source.path);
    }
}

#[test]
fn main_only_dispatches() {
    let sources = sources("host/src");
    let main = sources.iter().find(|source| source.path == "main.rs").expect("there is a main");
    assert!(main.text.lines().count() < 40, "host/src/main.rs does more than dispatch");
}

#[test]
fn nothing_but_the_generated_bindings_and_one_call_may_be_unsafe() {
    // The workspace's lints deny it; who wants it has to say so.
    for package in ["host", "guest-sdk", "examples"] {
        for source in sources(package).iter().filter(|source| source.says(&["unsafe_code"])) {
            let excepted = [("guest-sdk", "src/lib.rs"), ("host", "src/kind/wasm/footprint.rs")];
            assert!(excepted.contains(&(package, &*source.path)), "{package}: {}", source.path);
        }
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("it is there");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{package} has lints of its own");
    }
}

#[test]
fn every_profile_unwinds() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).expect("it is there");
    let panics: Vec<&str> = manifest.lines().filter(|line| line.starts_with("panic")).collect();
    assert_eq!(panics, ["panic = \"unwind\""; 2], "a panic in a host function ends one exchange, not the process");
}

#[test]
fn every_file_says_what_it_is_for_and_is_named_for_it() {
    for package in ["host", "guest-sdk", "examples", "tests"] {
        for Source { path, text } in sources(package) {
            assert!(text.starts_with("//!") || path == "src/bindings.rs", "{package}/{path} does not open with `//!`");
            let name = path.rsplit('/').next().unwrap_or(&path);
            let nameless = ["mod.rs", "util.rs", "utils.rs", "common.rs", "helper.rs", "helpers.rs", "misc.rs"];
            assert!(!nameless.contains(&name), "{package}/{path} has a name that says nothing");
        }
    }
}
