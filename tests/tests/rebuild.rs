//! Rust handlers that change while they are served.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use wasmserve_tests::{
    guest,
    place::Place,
    server::{Launch, Server},
    source::{handler, krate, tools},
};

/// The response to a browser.
fn browse(server: &Server, fields: &str) -> wasmserve_tests::client::Response {
    server.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nAccept: text/html,*/*;q=0.8\r\n{fields}\r\n"))
}

#[test]
fn a_saved_file_is_reloaded_however_it_is_saved() {
    let place = Place::new();
    let file = place.file("hello.rs", handler("0"));
    let server = Launch::file(&file).start();
    assert_eq!(server.get("/").text(), "0");

    // In place.
    place.file("hello.rs", handler("1"));
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "1");

    // By renaming a new file to the old name.
    fs::rename(place.file(".hello.rs.swp", handler("2")), &file).expect("the test directory is writable");
    server.served_anew(2);
    assert_eq!(server.get("/").text(), "2");

    // By renaming the old file first.
    fs::rename(&file, place.join("hello.rs~")).expect("the test directory is writable");
    place.file("hello.rs", handler("3"));
    server.served_anew(3);
    assert_eq!(server.get("/").text(), "3");
}

#[test]
fn a_file_is_rebuilt_when_an_included_file_changes() {
    let place = Place::new();
    place.file("page.txt", "old");
    let text = handler("x").replace("\"x\"", "include_str!(\"page.txt\")");
    let server = Launch::file(&place.file("hello.rs", text)).start();
    assert_eq!(server.get("/").text(), "old");
    place.file("page.txt", "new");
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "new");
}

#[test]
fn a_failed_build_keeps_the_old_version_and_is_shown_to_browsers_with_debug() {
    let place = Place::new();
    place.file("hello.rs", handler("old"));
    let server = Launch::file(&place.join("hello.rs")).flags(["--debug"]).start();
    assert_eq!(browse(&server, "").text(), "old");

    place.file("hello.rs", handler("</pre><script>alert(1)").replace("'static str", "'static u8"));
    server.kept(1);
    assert!(
        server.log().iter().any(|line| line.contains("--> ") && line.contains("hello.rs:6:5")),
        "{:#?}",
        server.log()
    );
    assert_eq!(server.get("/").text(), "old");
    let page = browse(&server, "");
    assert_eq!((page.status, page.field("content-type")), (500, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("hello.rs:6:5") && page.text().contains("&lt;script&gt;alert(1)"), "{}", page.text());
    assert!(!page.text().contains("<script>alert"), "{}", page.text());

    // The page waits, and is answered as soon as the handler builds.
    let mut waiting = server.connect();
    waiting.send("HEAD / HTTP/1.1\r\nHost: test\r\nAccept: text/html\r\nWasmserve-Build: 1\r\n\r\n");
    place.file("hello.rs", handler("new"));
    server.served_anew(1);
    assert_eq!(waiting.response_to_head().field("wasmserve-build"), None);
    assert_eq!((browse(&server, "").text(), server.get("/").text()), ("new", "new"));
}

#[test]
fn a_failed_build_is_reported_once_however_many_steps_saving_takes() {
    let place = Place::new();
    let bytes = |name| fs::read(guest::program(name)).expect("the guest is built");
    let other = place.file("handler.wasm", bytes("hello"));
    place.file("broken.rs", handler("old"));
    // A cargo that prints when it is called, and can be held up.
    let hold = place.join("hold");
    let cargo = env::var("CARGO").unwrap_or_else(|_| env!("CARGO").into());
    let script = format!(
        "echo cargo is called >&2; while [ -e '{}' ]; do sleep 0.01; done; exec '{cargo}' \"$@\"",
        hold.display()
    );
    let path = format!("{}:{}", tools(&place, &[("cargo", &script)]).display(), env::var("PATH").expect("PATH is set"));
    let mount = format!("/broken={}", place.join("broken.rs").display());
    let server = Launch::file(&other).flags(["--mount", &mount]).env("PATH", path).start();
    place.file("broken.rs", handler("new"));
    server.served_anew(1);

    let is_call = |line: &str| line == "cargo is called";
    let calls = server.log().iter().filter(|line| is_call(line)).count();
    place.file("hold", "");
    let broken = place.file("broken.rs", handler("x").replace("\"x\"", "1"));
    server.lines(calls + 1, is_call);
    // One more step, by a slow editor.
    fs::set_permissions(broken, Permissions::from_mode(0o600)).expect("we own the file");
    fs::remove_file(hold).expect("the file is readable");
    server.kept(1);
    // Later changes are noticed later.
    fs::write(&other, bytes("environ")).expect("the test directory is writable");
    server.served_anew(2);
    assert_eq!(server.kept(1).len(), 1, "{:#?}", server.log());
}

#[test]
fn a_failed_build_is_hidden_from_clients_without_debug() {
    let place = Place::new();
    let server = Launch::file(&place.file("hello.rs", handler("old"))).start();
    place.file("hello.rs", "fn main() { 1 }\n");
    server.kept(1);
    assert_eq!((server.get("/").text(), browse(&server, "Wasmserve-Build: 1\r\n").text()), ("old", "old"));
    // The change is undone.
    place.file("hello.rs", handler("old"));
    server.line_with("is back to the version being served");
}

#[test]
fn a_crate_is_watched_with_all_its_sources() {
    let place = Place::new();
    let directory = krate(&place, "", &[("main.rs", "old")]);
    let server = Launch::file(&directory).start();
    assert_eq!(server.get("/").text(), "old");
    fs::create_dir_all(directory.join("src/deep")).expect("the test directory is writable");
    place.file("greet/src/deep/words.rs", "pub const WORDS: &str = \"deep\";\n");
    place.file(
        "greet/src/main.rs",
        format!("#[path = \"deep/words.rs\"]\nmod words;\n{}", handler("x").replace("\"x\"", "words::WORDS")),
    );
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "deep");
    place.file("greet/src/deep/words.rs", "pub const WORDS: &str = \"deeper\";\n");
    server.served_anew(2);
    assert_eq!(server.get("/").text(), "deeper");
}

#[test]
fn a_handler_that_may_write_to_its_source_is_not_rebuilt() {
    let place = Place::new();
    fs::create_dir(place.join("data")).expect("the test directory is writable");
    let file = place.file("hello.rs", handler("x"));
    let with = |host: &Path, mode: &str| {
        Launch::file(&file).flags(["--dir", &format!("{}::/data{mode}", host.display())]).start()
    };
    let server = with(&place, "");
    assert!(server.line_with("warning").contains("lets a handler change its own source") && !server.watches());
    assert!(with(&place, ":ro").watches() && with(&place.join("data"), "").watches());
}
