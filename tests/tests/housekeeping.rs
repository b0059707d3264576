//! The commands around handlers that need no server: the contract, the cache, and tests in one file.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
};

use wasmserve_tests::{
    place::Place,
    server::{Launch, refuses},
};

#[test]
fn the_contract_is_printed_as_one_package() {
    let ended = Launch::bare().flags(["wit"]).run();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(ended.stdout.lines().filter(|line| *line == "package wasmserve:gateway@0.1.0;").count(), 1);
    for part in ["world application {", "interface environ {", "interface handler {", "interface types {"] {
        assert!(ended.stdout.contains(part), "{part}");
    }
}

#[test]
fn the_contract_is_written_into_a_directory_and_overwrites_nothing() {
    let place = Place::new();
    let wit = || Launch::bare().at(&place).flags(["wit", "deep/wit"]);
    for _ in 0..2 {
        let ended = wit().run();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
        assert!(ended.stdout.contains("`deep/wit`") && ended.stdout.contains("`application`"), "{}", ended.stdout);
    }
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).expect("the contract exists").flatten() {
        let written = fs::read(place.join("deep/wit").join(file.file_name())).expect("the file is written");
        assert!(written == fs::read(file.path()).expect("the file is readable"), "{:?}", file.file_name());
    }
    place.file("deep/wit/types.wit", "mine");
    refuses(wit(), 1, &["`deep/wit/types.wit` already exists with other content"]);
    assert_eq!(fs::read(place.join("deep/wit/types.wit")).expect("the file is readable"), b"mine");
}

#[test]
fn clean_removes_the_caches_and_says_how_much_that_was() {
    let place = Place::new();
    let clean = || {
        let ended = Launch::bare().flags(["clean"]).env("XDG_CACHE_HOME", &*place).run();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
        ended.stdout
    };
    let ours = place.join("wasmserve");
    assert_eq!(clean(), format!("removed 0.0 MiB from `{}`\n", ours.display()));

    // What runs goes on.
    let server = Launch::program("remembers").env("XDG_CACHE_HOME", &*place).start();
    for directory in ["build/old/target", "build/busy/target", "outside"] {
        fs::create_dir_all(ours.join(directory)).expect("a place is writable");
        place.file(&format!("wasmserve/{directory}/large"), vec![1; 3 << 20]);
    }
    symlink("../../../outside", ours.join("build/old/target/link")).expect("a place is writable");
    let busy = File::create(ours.join("build/busy.lock")).expect("a place is writable");
    busy.lock().expect("no build holds the lock");
    let said = clean();
    assert!(said.starts_with("removed 3.") && said.contains("; a build that is running keeps its own"), "{said}");
    for (path, is_left) in [
        ("components", false),
        ("compiled", false),
        ("build/old", false),
        ("build/busy/target/large", true),
        ("outside/large", true),
    ] {
        assert_eq!(ours.join(path).exists(), is_left, "{path}");
    }
    assert_eq!(server.get("/").status, 200);
    server.stop();
    assert_eq!(Launch::program("remembers").env("XDG_CACHE_HOME", &*place).start().get("/").status, 200);
}

#[test]
fn clean_does_not_follow_links_out_of_the_cache() {
    let place = Place::new();
    fs::create_dir_all(place.join("wasmserve")).expect("a place is writable");
    fs::create_dir_all(place.join("mine/below")).expect("a place is writable");
    let mine = place.file("mine/below/file", "mine");
    for name in ["components", "compiled", "build"] {
        symlink("../mine", place.join("wasmserve").join(name)).expect("a place is writable");
    }
    let ended = Launch::bare().flags(["clean"]).env("XDG_CACHE_HOME", &*place).run();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(mine.exists());
}

#[test]
fn only_sources_have_tests() {
    let place = Place::new();
    place.file("hello.wasm", wat::parse_str("(component)").expect("valid WAT"));
    place.file("app.py", "");
    let test = |name: &str| Launch::bare().at(&place).flags(["test", name]);
    refuses(test("hello.wasm"), 4, &["`hello.wasm` has no tests; name a Rust file or a crate"]);
    refuses(test("app.py"), 4, &["`app.py` is Python"]);
    refuses(test("nowhere.rs"), 4, &["`nowhere.rs` cannot be read"]);
}
