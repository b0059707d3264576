//! Builds that fail before the compiler reads the handler.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use wasmserve_tests::{
    place::Place,
    server::{Launch, refuses},
    source::{handler, tools},
};

#[test]
fn invalid_dependencies_are_reported_with_their_line() {
    let place = Place::new();
    let file = place.file("hello.rs", format!("---\n[dependencies]\nserde = = 1\n---\n{}", handler("x")));
    refuses(Launch::file(&file), 4, &["hello.rs`", "in line 3", "TOML"]);
}

#[test]
fn invalid_dependencies_are_reported_even_while_another_build_runs() {
    let place = Place::new();
    let ended = launch_with(&place, &tools(&place, &[("rustc", "exit 1"), ("cargo", "exit 1")])).run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let is_lock = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lock");
    let lock = place.files().into_iter().find(|path| is_lock(path) && !path.ends_with("Cargo.lock"));
    let held = File::open(lock.expect("a build creates a lock file")).expect("the file is readable");
    held.lock().expect("no build holds the lock");
    let file = place.file("wrong.rs", format!("---\n[dependencies]\nserde = = 1\n---\n{}", handler("x")));
    refuses(Launch::file(&file).env("XDG_CACHE_HOME", place.join("cache")), 4, &["wrong.rs`", "in line 3", "TOML"]);
}

#[test]
fn a_build_cache_that_others_could_replace_is_refused() {
    let place = Place::new();
    let file = place.file("hello.rs", handler("x"));
    fs::create_dir(place.join("open")).expect("the test directory is writable");
    fs::set_permissions(place.join("open"), fs::Permissions::from_mode(0o777)).expect("we own the file");
    let launch = Launch::file(&file).env("XDG_CACHE_HOME", place.join("open"));
    let ended = launch.run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    // The line before it is about the compile cache, which is optional.
    let line = ended.stderr.lines().last().expect("an error message");
    for part in ["hello.rs`", "other users can write to", "set XDG_CACHE_HOME to a directory you own"] {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    assert_eq!(
        fs::read_dir(place.join("open")).expect("the directory is readable").count(),
        0,
        "nothing is written there"
    );
}

/// A server whose PATH has only these programs, with its own cache.
fn launch_with(place: &Place, tools: &Path) -> Launch {
    let file = place.file("hello.rs", handler("x"));
    Launch::file(&file).env("PATH", tools).env("XDG_CACHE_HOME", place.join("cache"))
}

#[test]
fn without_rust_the_error_is_one_clear_line() {
    let place = Place::new();
    refuses(launch_with(&place, &tools(&place, &[])), 4, &["hello.rs`", "cargo is not installed", "https://rustup.rs"]);
    let doc =
        |tools: &Path| Launch::bare().flags(["doc"]).env("PATH", tools).env("XDG_CACHE_HOME", place.join("cache"));
    let parts = ["the SDK's documentation is built from Rust", "cargo is not installed", "https://rustup.rs"];
    refuses(doc(&tools(&place, &[])), 1, &parts);
    let without_target = tools(&place, &[("rustc", "echo /nowhere/lib"), ("cargo", "exit 1")]);
    refuses(
        launch_with(&place, &without_target),
        4,
        &["wasm32-wasip2", "rustup, which could add it, is not installed", "https://rustup.rs"],
    );
}

#[test]
fn a_missing_target_is_added_with_a_notice() {
    let place = Place::new();
    let added = place.join("added");
    let rustup = format!("echo \"$@\" > '{}'", added.display());
    let tools =
        tools(&place, &[("rustc", "echo /nowhere/lib"), ("rustup", &rustup), ("cargo", "echo is run >&2; exit 1")]);
    let ended = launch_with(&place, &tools).run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert_eq!(fs::read_to_string(added).ok().as_deref(), Some("target add wasm32-wasip2\n"));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let notice = "wasmserve: the target wasm32-wasip2 is missing; adding it with `rustup target add wasm32-wasip2`";
    assert_eq!(lines[..2], [notice, "is run"], "{ended:?}");
}
