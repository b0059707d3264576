//! What users name by mistake instead of a handler: each is recognized, with what to type, before anything is bound.

use std::{
    ffi::OsStr,
    fs,
    net::TcpListener,
    os::unix::{ffi::OsStrExt as _, fs::symlink, net::UnixListener},
    path::Path,
};

use wasmserve_tests::{
    guest,
    place::Place,
    server::{Launch, refuses},
    source::{handler, krate, tools},
};

/// Checks that `wasmserve NAME` is refused with one line that says all of this, although its port is in use.
fn refused(place: &Place, name: impl AsRef<OsStr>, parts: &[&str]) {
    let busy = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = busy.local_addr().expect("the socket is bound").to_string();
    refuses(Launch::bare().at(place).flags([name.as_ref()]).flags(["--addr", &addr]), 4, parts);
}

#[test]
fn other_languages_are_named_with_the_way_to_a_component() {
    let place = Place::new();
    for (name, parts) in [
        ("app.js", &["is JavaScript", "jco", "`wasmserve wit`", "`wasmserve new hello`"][..]),
        ("app.mjs", &["is JavaScript"]),
        ("app.ts", &["is TypeScript", "jco"]),
        ("app.TSX", &["is TypeScript"]),
        ("app.go", &["is Go", "build a CGI program from it: `GOOS=wasip1 GOARCH=wasm go build -o app.wasm app.go`"]),
        ("app.c", &["is C,", "`zig cc -target wasm32-wasi -o app.wasm app.c`", "`wasmserve wit`"]),
        ("app.rb", &["is Ruby", "`wasmserve wit`"]),
        ("app.sh", &["is a shell script"]),
    ] {
        place.file(name, "a = 1\n");
        refused(&place, name, &[&[&*format!("`{name}` "), "which wasmserve does not run by itself"], parts].concat());
    }
    for (name, line, what) in
        [("three", "#!/usr/bin/env -S node --test\n", "is JavaScript"), ("four", "#!/bin/sh\n", "is a shell script")]
    {
        place.file(name, line);
        refused(&place, name, &[&format!("`{name}` {what}")]);
    }
}

#[test]
fn files_that_are_no_code_are_named() {
    let place = Place::new();
    for (name, content, what) in [
        (
            "index.html",
            &b"<p>"[..],
            "is a file for browsers, not a handler; serve the directory that it is in: `wasmserve .`",
        ),
        ("data.json", b"{}", "is a file for browsers"),
        ("picture", b"\x89PNG\r\n", "is a file for browsers"),
        ("x.wat", b"(component)", "is wasm as text; make it binary with `wasm-tools parse x.wat -o x.wasm`"),
        ("world.wit", b"package a:b;", "is a contract without code"),
        ("a.wasm", b"\x1f\x8b\x08", "is compressed with gzip; unpack it with `gunzip`"),
        ("b.wasm", b"\x28\xb5\x2f\xfd", "is compressed with zstd"),
        ("c.wasm", b"PK\x03\x04", "is a zip archive"),
        ("d", b"\x7fELF\x02", "is native code, not wasm; build it with `cargo build --release --target wasm32-wasip2`"),
        ("liba.so", b"\x7fELF\x02", "is native code"),
        ("liba.rlib", b"!<arch>\n", "is native code"),
        ("a.exe", b"MZ\x90", "is native code"),
        ("empty.rs", b"", "is empty; `wasmserve new hello` writes a handler to start from"),
        ("empty", b"", "is empty, not a wasm component"),
        ("other", b"abc\n", "is not a wasm component (it begins with `abc\\x0a`)"),
    ] {
        place.file(name, content);
        refused(&place, name, &[&format!("`{name}` {what}")]);
    }
}

#[test]
fn core_modules_are_explained_by_what_they_import() {
    let place = Place::new();
    let start = r#"(func (export "_start"))"#;
    for (fields, what) in [
        ("", "build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"),
        (r#"(import "wasi_snapshot_preview1" "f" (func))"#, "it is a library: it has no `_start`"),
        (
            &*format!(r#"(import "wasi_unstable" "f" (func)) {start}"#),
            "it was built for a draft of WASI 0.1; build it with",
        ),
        (r#"(import "__wbindgen_placeholder__" "f" (func))"#, "it was built for browsers with wasm-bindgen"),
        (r#"(import "gojs" "f" (func))"#, "it was built by Go for browsers; build it with `GOOS=wasip1"),
        (
            r#"(import "env" "emscripten_get_now" (func))"#,
            "it was built by Emscripten for JavaScript; build it with the WASI SDK",
        ),
        (r#"(import "wasi:cli/stdin@0.2.0" "f" (func))"#, "it is a part of a component; build it for wasm32-wasip2"),
        (&format!(r#"(import "env" "draw" (func)) {start}"#), "it imports `draw` from `env`, which only the program"),
    ] {
        place.file("core.wasm", wat::parse_str(format!("(module {fields})")).expect("valid WAT"));
        refused(&place, "core.wasm", &[&format!("`core.wasm` is a core module, not a component; {what}")]);
    }
}

#[test]
fn a_directory_is_built_only_if_it_is_a_crate() {
    let place = Place::new();
    fs::create_dir(place.join("d")).expect("a place is writable");
    let builds = |parts: &[&str]| refuses(Launch::bare().at(&place).flags(["build", "d"]), 4, parts);
    builds(&["`d` is a directory without a Cargo.toml", "or start with `wasmserve new hello`"]);
    place.file("d/one.rs", "");
    builds(&["`d` is a directory without a Cargo.toml; did you mean `d/one.rs`?"]);
    for name in ["two.rs", "three.wasm", "four.rs"] {
        place.file(&format!("d/{name}"), "");
    }
    builds(&["name one of the handlers in it: `d/four.rs`, `d/one.rs`, `d/three.wasm` and others"]);
    refused(&place, "crate:d", &["`d` is a directory without a Cargo.toml; name one of the handlers in it"]);

    place.file("d/Cargo.toml", "[package\n");
    refused(&place, "d", &["`d` has a Cargo.toml that is not valid TOML, in line 1: "]);
    refused(&place, "d/Cargo.toml", &["`d` has a Cargo.toml that is not valid TOML"]);
    place.file("d/Cargo.toml", "[dependencies]\n");
    refused(&place, "d", &["`d` has a Cargo.toml without a `[package]`"]);
    place.file("d/page.html", "");
    refused(&place, "d/page.html", &["serve the directory that it is in: `wasmserve files:d`"]);
    refused(&place, "files:d/page.html", &["is a file, not a directory; serve the one that it is in"]);
    refused(&place, "files:else", &["`else` cannot be read: No such file"]);
}

#[test]
fn a_missing_file_is_likened_to_those_beside_it() {
    let place = Place::new();
    place.file("hello.rs", handler("x"));
    krate(&place, "", &[("main.rs", "x")]);
    for (typed, meant) in [
        ("hello", "hello.rs"),
        ("helo.rs", "hello.rs"),
        ("hello.wasm", "hello.rs"),
        ("./hlelo.rs", "./hello.rs"),
        ("gret", "greet"),
    ] {
        refused(&place, typed, &[&format!("`{typed}` does not exist; did you mean `{meant}`?")]);
    }
    refused(&place, "quite-another.wasm", &["`quite-another.wasm` cannot be read: No such file"]);
    refused(&place, "hello.rs/", &["`hello.rs/` cannot be read: Not a directory"]);
    symlink("gone", place.join("link")).expect("a place is writable");
    refused(&place, "link", &["`link` is a link to `gone`, which does not exist"]);
    refuses(Launch::bare().flags([""]), 2, &["no handler given; name one, as in `wasmserve hello.rs`"]);
}

#[test]
fn other_mistakes_are_named() {
    let place = Place::new();
    place.file("hello.rs", handler("x"));
    fs::copy(guest::program("hello"), place.join("hello.wasm")).expect("a place is writable");
    place.file("web.py", "app = 1\n");
    let _socket = UnixListener::bind(place.join("socket")).expect("a place is writable");
    for (typed, what) in [
        ("https://example.com/x.wasm", "is a URL; download the file first"),
        ("socket", "is a socket or a disk, not a file"),
        ("component:hello.rs", "is Rust, not a component; build one with `wasmserve build hello.rs`"),
        ("rust:hello.wasm", "is wasm, not Rust; leave out `rust:`"),
        ("python:hello.wasm", "is wasm, not Python; leave out `python:`"),
        ("component:web.py", "is Python, not a component; serve it without a prefix: `wasmserve web.py`"),
        ("cgi:web.py", "is Python, not a component; serve it without a prefix: `wasmserve web.py`"),
        ("crate:web.py", "is a file, not a crate's directory"),
        ("crate:hello.rs", "is a file, not a crate's directory"),
        ("component:.", "is a directory, not a component's file"),
        ("rust:.", "is a directory, not a Rust file"),
        ("rust:/dev/null", "is not a regular file, which cargo needs to build it"),
        ("/dev/null", "is empty, not a wasm component"),
        ("/dev/zero", "has more than 67108864 bytes, which is what --max-component allows"),
    ] {
        // A device is read after the address is bound.
        let launch = Launch::bare().at(&place).flags([typed, "--addr", "127.0.0.1:0"]);
        refuses(launch, 4, &[&format!("` {what}")]);
    }
    refused(&place, "--mount=/x=app.py", &["`app.py` cannot be read"]);
}

#[test]
fn build_and_inspect_name_mistakes_too() {
    let place = Place::new();
    place.file("app.py", "");
    place.file("hello.rs", handler("x"));
    fs::copy(guest::program("hello"), place.join("hello.wasm")).expect("a place is writable");
    let asks = |words: &[&str], parts: &[&str]| refuses(Launch::bare().at(&place).flags(words), 4, parts);
    asks(&["inspect", "hello.rs"], &["`hello.rs` is Rust, not a component; build one with `wasmserve build hello.rs`"]);
    asks(&["inspect", "helo.wasm"], &["did you mean `hello.rs`?"]);
    asks(&["inspect", "."], &["`.` is a directory"]);
    asks(&["build", "hello.wasm"], &["neither a Rust file nor a crate, but a component already"]);
    asks(&["build", "helo.rs"], &["did you mean `hello.rs`?"]);
}

/// Stand-ins for the tools, with a cargo that builds this file.
fn built(place: &Place, file: &Path) -> Launch {
    let artifact = format!(
        r#"echo '{{"reason":"compiler-artifact","target":{{"name":"hello"}},"executable":"{}"}}'"#,
        file.display()
    );
    let tools = tools(place, &[("rustc", "echo /"), ("cargo", &artifact)]);
    place.file("hello.rs", "fn main() {}\n");
    Launch::bare().at(place).flags(["build", "hello.rs"]).env("PATH", tools).env("XDG_CACHE_HOME", place.join("cache"))
}

#[test]
fn rust_without_handler_is_told_what_is_missing() {
    let place = Place::new();
    let component = wat::parse_str("(component)").expect("valid WAT");
    let file = place.file("built.wasm", component);
    // As a library; a program is served as a CGI program, and its first fault says what is missing.
    refuses(built(&place, &file), 4, &["`hello.rs` has no handler; add `handler!(app);`"]);

    let launch = built(&place, &file);
    tools(&place, &[("cargo", "echo 'error[E0601]: `main` function not found in crate `hello`' >&2; exit 101")]);
    let ended = launch.run();
    assert!(ended.stderr.contains("`hello.rs` does not build; it has no handler; add `handler!(app);`"), "{ended:?}");
}

#[test]
fn paths_that_are_not_utf_8_are_served_or_refused_by_name() {
    let place = Place::new();
    let odd = |tail: &[u8]| OsStr::from_bytes(&[b"caf\xe9", tail].concat()).to_owned();
    for name in [odd(b".wasm"), odd(b"")] {
        fs::copy(guest::program("hello"), place.join(&name)).expect("a place is writable");
        let prefixed = OsStr::from_bytes(&[b"component:", name.as_bytes()].concat()).to_owned();
        for typed in [name.clone(), prefixed] {
            let server = Launch::bare().at(&place).flags([typed]).flags(["--addr", "127.0.0.1:0"]).start();
            assert_eq!(server.get("/").status, 200);
        }
        let mount = OsStr::from_bytes(&[b"/x=", name.as_bytes()].concat()).to_owned();
        let flags = [OsStr::new("--mount"), &mount, OsStr::new("--addr"), OsStr::new("127.0.0.1:0")];
        assert_eq!(Launch::bare().at(&place).flags(flags).start().get("/x").status, 200);
    }
    let port = place.join(odd(b".port"));
    let server = Launch::program("hello").flags([OsStr::new("--port-file"), port.as_os_str()]).start();
    assert!(port.is_file());
    server.stop();

    let rust = odd(b".rs");
    fs::write(place.join(&rust), handler("x")).expect("a place is writable");
    refused(&place, &rust, &["has a name that is not UTF-8, which cargo cannot build; rename it"]);
    fs::create_dir(place.join(odd(b".d"))).expect("a place is writable");
    fs::write(place.join(odd(b".d/hello.rs")), handler("x")).expect("a place is writable");
    refused(&place, odd(b".d/hello.rs"), &["is not UTF-8"]);
    let inside = Launch::bare().at(&place.join(odd(b".d"))).flags(["hello.rs", "--addr", "127.0.0.1:0"]);
    refuses(inside, 4, &["`hello.rs` cannot be built: the path", "is not UTF-8, which cargo needs"]);

    for flag in ["--dir", "--env"] {
        let launch = Launch::program("hello").flags([OsStr::new(flag), &odd(b"=x::/x")]);
        refuses(launch, 2, &["`caf", "is not UTF-8, which only names of files may be; see --help"]);
    }
    let cache = place.join(odd(b".cache"));
    assert_eq!(Launch::program("remembers").env("XDG_CACHE_HOME", cache).start().get("/").status, 200);
}
