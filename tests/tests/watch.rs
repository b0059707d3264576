//! Components that change while they are served.

use std::{fs, path::PathBuf};

use wasmserve_tests::{
    guest,
    place::Place,
    server::{Launch, Server},
};

/// The component of a guest, as a file that may change.
fn component(place: &Place, name: &str) -> PathBuf {
    place.file("handler.wasm", bytes(name))
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(guest::program(name)).expect("the guest is built")
}

#[test]
fn a_waiting_page_does_not_delay_the_stop() {
    let place = Place::new();
    let server = Launch::file(&component(&place, "hello")).flags(["--debug", "--drain", "60s"]).start();
    place.file("handler.wasm", "no wasm");
    server.kept(1);
    let mut waiting = server.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: test\r\nAccept: text/html\r\nWasmserve-Build: 1\r\n\r\n");
    server.stop();
}

#[test]
fn a_component_is_watched_and_an_invalid_one_is_reported_in_one_line() {
    let place = Place::new();
    let file = component(&place, "hello");
    let server = Launch::file(&file).start();
    assert_eq!(server.get("/").text(), "Hello, World!\n");
    let hello = bytes("hello");
    for (times, wrong) in [&hello[..hello.len() / 2], b"no wasm", b""].into_iter().enumerate() {
        place.file("handler.wasm", wrong);
        let line = server.kept(times + 1).pop().unwrap_or_default();
        assert!(line.starts_with("wasmserve: ") && line.contains("handler.wasm"), "{line}");
        assert_eq!(server.get("/").text(), "Hello, World!\n");
    }
    place.file("handler.wasm", bytes("returns_without_starting"));
    server.served_anew(1);
    assert_eq!(server.get("/").status, 500);
}

#[test]
fn a_running_request_keeps_its_handler() {
    let place = Place::new();
    let server = Launch::file(&component(&place, "echo")).start();
    let mut client = server.connect();
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nold ");
    let head = client.response_to_head();
    assert_eq!(head.status, 200);
    place.file("handler.wasm", bytes("hello"));
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "Hello, World!\n");
    client.send("echo");
    let echo: Vec<u8> = client.body(&head).flatten().collect();
    assert_eq!(echo, b"old echo");
}

#[test]
fn a_directory_may_be_removed_and_restored() {
    let place = Place::new();
    let directory = place.join("release");
    let write = |name: &str| {
        fs::create_dir_all(&directory).expect("the test directory is writable");
        place.file("release/handler.wasm", bytes(name));
    };
    write("hello");
    let server = Launch::file(&directory.join("handler.wasm")).start();
    fs::remove_dir_all(&directory).expect("the test directory is writable");
    server.kept(1);
    assert_eq!(server.get("/").text(), "Hello, World!\n");
    write("environ");
    server.served_anew(1);
    assert!(server.get("/").text().contains("REQUEST_METHOD"));
}

#[test]
fn no_watch_disables_watching() {
    assert!(Server::start("hello").watches());
    assert!(!Launch::program("hello").flags(["--no-watch"]).start().watches());
}
