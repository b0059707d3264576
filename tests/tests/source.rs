//! From Rust to a server: one file, or a crate.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use wasmserve_tests::{
    place::Place,
    server::{Ended, Launch},
};

use crate::start::refuses;

/// A handler that says something.
pub(crate) fn handler(says: &str) -> String {
    format!(
        "use wasmserve_guest::{{Environ, handler}};\n\nhandler!(app);\n\n\
         fn app(_environ: Environ) -> &'static str {{\n    \"{says}\"\n}}\n"
    )
}

fn workspace() -> PathBuf {
    fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("it is there")
}

/// A package beside a handler's file that it can depend on.
fn neighbour(place: &Place) {
    fs::create_dir_all(place.join("neighbour/src")).expect("a place is writable");
    place.file("neighbour/Cargo.toml", "[package]\nname = \"neighbour\"\nedition = \"2021\"\n");
    place.file("neighbour/src/lib.rs", "pub const TEXT: &str = \"from next door\";\n");
}

/// A crate with these programs, as one would make it beside a clone; and with a lock, so that nobody asks the registry.
pub(crate) fn krate(place: &Place, manifest: &str, programs: &[(&str, &str)]) -> PathBuf {
    let directory = place.join("greet");
    fs::create_dir_all(directory.join("src/bin")).expect("a place is writable");
    let sdk = workspace().join("guest-sdk");
    let dependencies = format!("[dependencies]\nwasmserve-guest.path = {sdk:?}\n\n[workspace]\n");
    place.file(
        "greet/Cargo.toml",
        format!("[package]\nname = \"greet\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{manifest}\n{dependencies}"),
    );
    fs::copy(workspace().join("Cargo.lock"), directory.join("Cargo.lock")).expect("there is a lock");
    for (name, says) in programs {
        place.file(&format!("greet/src/{name}"), handler(says));
    }
    directory
}

/// The file and line at which the compiler points.
fn points_at(ended: &Ended, place: &str) {
    let is_it = |line: &str| line.trim_start().strip_prefix("--> ").is_some_and(|at| at.contains(place));
    assert!(ended.stderr.lines().any(is_it), "`{place}` is not pointed at: {}", ended.stderr);
}

#[test]
fn a_file_is_built_and_served_and_the_second_time_there_is_nothing_to_build() {
    let place = Place::new();
    let file = place.file("hello.rs", handler("Hello!"));
    for is_new in [true, false] {
        let server = Launch::file(&file).start();
        assert_eq!(server.get("/").text(), "Hello!");
        let log = server.log();
        assert!(is_new || !log.iter().any(|line| line.contains("Compiling") || line.contains("Finished")), "{log:#?}");
    }
}

#[test]
fn files_of_the_same_name_are_not_taken_for_each_other() {
    let (one, other) = (Place::new(), Place::new());
    let mount = |at: &str, file: PathBuf| ["--mount".to_owned(), format!("{at}={}", file.display())];
    let launch = Launch::bare().flags(["--addr", "127.0.0.1:0"]);
    let launch = launch.flags(mount("/one", one.file("hello.rs", handler("one"))));
    let server = launch.flags(mount("/other", other.file("hello.rs", handler("other")))).start();
    assert_eq!((server.get("/one").text(), server.get("/other").text()), ("one", "other"));
}

#[test]
fn what_does_not_compile_is_told_in_the_compilers_words_at_the_files_own_lines() {
    let place = Place::new();
    neighbour(&place);
    let wrong = handler("x").replace("\"x\"", "1");
    let said = "[dependencies]\nneighbour = { path = \"neighbour\" }\n";
    let comment: String = said.lines().map(|line| format!("//! {line}\n")).collect();
    for (file, text, line) in [
        ("plain.rs", wrong.clone(), 6),
        ("frontmatter.rs", format!("#!/usr/bin/env wasmserve\n---\n{said}---\n{wrong}"), 11),
        ("comment.rs", format!("//! ```cargo\n{comment}//! ```\n{wrong}"), 10),
    ] {
        let path = place.file(file, text);
        let ended = Launch::file(&path).run();
        assert_eq!(ended.code, Some(4), "{ended:?}");
        points_at(&ended, &format!("{}:{line}:5", path.display()));
        assert!(ended.stderr.contains("expected `&str`, found integer"), "{ended:?}");
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert_eq!(last, format!("wasmserve: `{}` does not build", path.display()));
        assert!(!ended.stderr.contains('\u{1b}'), "colours are for terminals: {ended:?}");
    }
}

#[test]
fn a_file_may_name_its_dependencies_in_frontmatter_or_in_its_comment() {
    let place = Place::new();
    neighbour(&place);
    let text = handler("x").replace("\"x\"", "neighbour::TEXT");
    let frontmatter = format!("---\n[dependencies]\nneighbour = {{ path = \"neighbour\" }}\n---\n\n{text}");
    let comment = format!(
        "//! Hello.\n//!\n//! ```cargo\n//! [dependencies]\n//! neighbour.path = \"neighbour\"\n//! ```\n\n{text}"
    );
    for (name, text) in [("frontmatter.rs", frontmatter), ("comment.rs", comment)] {
        let server = Launch::file(&place.file(name, text)).start();
        assert_eq!(server.get("/").text(), "from next door", "{name}");
    }
}

#[test]
fn dependencies_that_are_no_toml_are_told_with_their_line() {
    let place = Place::new();
    let file = place.file("hello.rs", format!("---\n[dependencies]\nserde = = 1\n---\n{}", handler("x")));
    refuses(Launch::file(&file), 4, &["hello.rs`", "in line 3", "TOML"]);
}

#[test]
fn what_is_wrong_with_dependencies_is_told_while_others_build() {
    let place = Place::new();
    let ended = launch_with(&place, &tools(&place, &[("rustc", "exit 1"), ("cargo", "exit 1")])).run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let is_lock = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lock");
    let lock = place.files().into_iter().find(|path| is_lock(path) && !path.ends_with("Cargo.lock"));
    let held = File::open(lock.expect("whoever builds holds a lock")).expect("it is readable");
    held.lock().expect("nobody builds any more");
    let file = place.file("wrong.rs", format!("---\n[dependencies]\nserde = = 1\n---\n{}", handler("x")));
    refuses(Launch::file(&file).env("XDG_CACHE_HOME", place.join("cache")), 4, &["wrong.rs`", "in line 3", "TOML"]);
}

#[test]
fn a_crate_is_built_with_its_own_lock_into_its_own_target_directory() {
    let place = Place::new();
    let directory = krate(&place, "", &[("main.rs", "Hello from a crate!")]);
    let server = Launch::file(&directory).start();
    assert_eq!(server.get("/").text(), "Hello from a crate!");
    assert!(directory.join("target/wasm32-wasip2/release/greet.wasm").is_file());

    place.file("greet/src/main.rs", handler("x").replace("\"x\"", "1"));
    let ended = Launch::file(&directory).run();
    assert_eq!(ended.code, Some(4));
    points_at(&ended, "src/main.rs:6:5");
}

#[test]
fn a_crate_without_a_program_or_with_several_is_refused_with_a_remedy() {
    let place = Place::new();
    let directory = krate(&place, "", &[("lib.rs", "x")]);
    refuses(Launch::file(&directory), 4, &["greet`", "no program", "src/main.rs"]);
    let place = Place::new();
    let directory = krate(&place, "", &[("bin/one.rs", "x"), ("bin/two.rs", "x")]);
    refuses(Launch::file(&directory), 4, &["several programs (one, two)", "default-run = \"one\""]);
    refuses(Launch::file(&Place::new()), 4, &["directory without a Cargo.toml"]);
}

#[test]
fn a_build_cache_that_others_could_replace_is_refused() {
    let place = Place::new();
    let file = place.file("hello.rs", handler("x"));
    fs::create_dir(place.join("open")).expect("a place is writable");
    fs::set_permissions(place.join("open"), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let launch = Launch::file(&file).env("XDG_CACHE_HOME", place.join("open"));
    let ended = launch.run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    // The line before it is about the compile cache, which a server can do without.
    let line = ended.stderr.lines().last().expect("it says why");
    for part in ["hello.rs`", "others can write to", "set XDG_CACHE_HOME to a directory of yours"] {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    assert_eq!(fs::read_dir(place.join("open")).expect("it is there").count(), 0, "nothing is written there");
}

#[test]
fn build_only_builds() {
    let place = Place::new();
    let file = place.file("hello.rs", handler("Built before."));
    let output = place.join("out.wasm");
    let ended = Launch::bare().flags(["build".as_ref(), file.as_os_str(), "-o".as_ref(), output.as_os_str()]).run();
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("{}\n", output.display())));
    assert_eq!(Launch::file(&output).start().get("/").text(), "Built before.");

    let wrong = place.file("wrong.rs", "fn main() { 1 }\n");
    let ended = Launch::bare().flags(["build".as_ref(), wrong.as_os_str(), "-o".as_ref(), output.as_os_str()]).run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    refuses(Launch::bare().flags(["build".as_ref(), output.as_os_str()]), 4, &["neither a Rust file nor a crate"]);
}

#[test]
fn stacks_of_a_file_tell_its_functions_and_with_debug_its_lines_under_the_name_that_was_typed() {
    let place = Place::new();
    fs::create_dir(place.join("below")).expect("a place is writable");
    let deeply = "#[inline(never)]\nfn deeply() -> &'static str {\n    panic!(\"on purpose\")\n}\n";
    let text = format!("{}\n{deeply}", handler("x").replace("\"x\"", "deeply()"));
    let frontmatter = format!("---\n[dependencies]\n---\n{text}");
    let absolute = place.join("deep.rs");
    place.file("below/deep.rs", &text);
    place.file("below/copied.rs", frontmatter);
    place.file("deep.rs", text);
    let files = [("deep", Path::new("deep.rs"), 11), ("deep", Path::new("below/deep.rs"), 11)];
    for (name, file, line) in
        files.into_iter().chain([("deep", &*absolute, 11), ("copied", Path::new("below/copied.rs"), 14)])
    {
        let server = Launch::file(file).flags(["--debug"]).at(&place).start();
        let answer = server.get("/");
        assert_eq!(answer.status, 500);
        let at = format!("{}:{line}", file.display());
        assert!(answer.text().contains(&format!("panicked at {at}:5: on purpose")), "{}", answer.text());
        let frame = format!("  at {name}::deeply ({at})");
        assert!(answer.text().lines().any(|line| line == frame), "{frame}: {}", answer.text());
    }
}

/// Programs that stand in for those of Rust.
pub(crate) fn tools(place: &Place, scripts: &[(&str, &str)]) -> PathBuf {
    fs::create_dir_all(place.join("tools")).expect("a place is writable");
    for (name, script) in scripts {
        let path = place.file(&format!("tools/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    place.join("tools")
}

/// A server with these programs and no others, and with a cache of its own.
fn launch_with(place: &Place, tools: &Path) -> Launch {
    let file = place.file("hello.rs", handler("x"));
    Launch::file(&file).env("PATH", tools).env("XDG_CACHE_HOME", place.join("cache"))
}

#[test]
fn without_rust_there_is_one_clear_line() {
    let place = Place::new();
    refuses(launch_with(&place, &tools(&place, &[])), 4, &["hello.rs`", "no cargo", "https://rustup.rs"]);
    let without_target = tools(&place, &[("rustc", "echo /nowhere/lib"), ("cargo", "exit 1")]);
    refuses(launch_with(&place, &without_target), 4, &["wasm32-wasip2", "no rustup", "https://rustup.rs"]);
}

#[test]
fn a_missing_target_is_added_and_that_is_said() {
    let place = Place::new();
    let added = place.join("added");
    let rustup = format!("echo \"$@\" > '{}'", added.display());
    let tools =
        tools(&place, &[("rustc", "echo /nowhere/lib"), ("rustup", &rustup), ("cargo", "echo is run >&2; exit 1")]);
    let ended = launch_with(&place, &tools).run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert_eq!(fs::read_to_string(added).ok().as_deref(), Some("target add wasm32-wasip2\n"));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let says = "wasmserve: the target wasm32-wasip2 is missing; adding it: rustup target add wasm32-wasip2";
    assert_eq!(lines[..2], [says, "is run"], "{ended:?}");
}

#[test]
fn what_cargo_remembers_of_a_compiler_that_could_not_run_is_forgotten() {
    let place = Place::new();
    place.file("hello.rs", handler("hello"));
    let build =
        || Launch::bare().flags(["build", "hello.rs"]).at(&place).env("XDG_CACHE_HOME", place.join("cache")).run();
    assert_eq!(build().code, Some(0));

    // As after a build in a directory that was removed just then.
    let is_memory = |path: &PathBuf| path.ends_with(".rustc_info.json");
    let memory = place.files().into_iter().find(is_memory).expect("cargo remembers its compiler");
    let mut info: Value = serde_json::from_slice(&fs::read(&memory).expect("it is readable")).expect("it is JSON");
    let outputs = info["outputs"].as_object_mut().expect("it has what the compiler said");
    for output in
        outputs.values_mut().filter(|output| !output["stdout"].as_str().unwrap_or_default().starts_with("rustc "))
    {
        output["success"] = false.into();
        output["code"] = 1.into();
    }
    fs::write(&memory, info.to_string()).expect("a place is writable");
    place.file("hello.rs", handler("hello again"));
    let ended = build();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
