//! Components that change while they are served.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

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

/// Lets a link lead to another target at once, as `ln -sfn` and `mv -T` do it.
fn relink(place: &Place, target: &str, link: &str) {
    symlink(target, place.join("new-link")).expect("the test directory is writable");
    fs::rename(place.join("new-link"), place.join(link)).expect("the test directory is writable");
}

/// Creates directories, each with a component.
fn releases(place: &Place, releases: &[(&str, &str)]) {
    for (directory, name) in releases {
        fs::create_dir_all(place.join(directory)).expect("the test directory is writable");
        place.file(&format!("{directory}/app.wasm"), bytes(name));
    }
}

/// Checks which of the two handlers of these tests is served.
fn is_environ(server: &Server) -> bool {
    server.get("/").text().contains("REQUEST_METHOD")
}

#[test]
fn every_link_on_the_way_to_a_component_is_watched() {
    for typed in ["current/app.wasm", "link.wasm", "chain/app.wasm", "releases/../current/app.wasm", "mounted/app.wasm"]
    {
        let place = Place::new();
        releases(&place, &[("releases/1", "hello"), ("releases/2", "environ")]);
        // As in a mounted ConfigMap of Kubernetes.
        fs::create_dir(place.join("mounted")).expect("the test directory is writable");
        relink(&place, "../current", "mounted/..data");
        relink(&place, "..data/app.wasm", "mounted/app.wasm");
        relink(&place, "releases/1", "current");
        relink(&place, "current/../1/app.wasm", "link.wasm");
        let absolute = place.join("current");
        relink(&place, absolute.to_str().expect("the path is UTF-8"), "chain");

        let server = Launch::file(Path::new(typed)).at(&place).start();
        assert!(!is_environ(&server), "{typed}");
        if typed == "link.wasm" {
            relink(&place, "releases/2/app.wasm", "link.wasm");
        } else {
            relink(&place, "releases/2", "current");
        }
        server.served_anew(1);
        assert!(is_environ(&server), "{typed}");
        // What the links lead to now is watched, too.
        place.file("releases/2/app.wasm", bytes("hello"));
        server.served_anew(2);
        assert!(!is_environ(&server), "{typed}");
    }
}

#[test]
fn a_directory_on_the_way_that_is_replaced_is_noticed() {
    let place = Place::new();
    releases(&place, &[("site/app/bin", "hello"), ("next/app/bin", "environ")]);
    let server = Launch::file(&place.join("site/app/bin/app.wasm")).start();
    for (from, to) in [("site", "previous"), ("next", "site")] {
        fs::rename(place.join(from), place.join(to)).expect("the test directory is writable");
    }
    server.served_anew(1);
    assert!(is_environ(&server));
    place.file("site/app/bin/app.wasm", bytes("hello"));
    server.served_anew(2);
    assert!(!is_environ(&server));
    // Gone, and created again from the top.
    fs::remove_dir_all(place.join("site")).expect("the test directory is writable");
    server.kept(1);
    releases(&place, &[("site/app/bin", "environ")]);
    server.served_anew(3);
    place.file("site/app/bin/app.wasm", bytes("hello"));
    server.served_anew(4);
}

#[test]
fn a_working_directory_may_be_renamed_or_replaced() {
    let place = Place::new();
    releases(&place, &[("here", "hello"), ("other", "hello")]);
    let server = Launch::file(Path::new("app.wasm")).at(&place.join("here")).start();
    fs::rename(place.join("here"), place.join("there")).expect("the test directory is writable");
    place.file("there/app.wasm", bytes("environ"));
    server.served_anew(1);
    assert!(is_environ(&server));
    // What is at the path of the start comes first.
    fs::rename(place.join("other"), place.join("here")).expect("the test directory is writable");
    server.served_anew(2);
    assert!(!is_environ(&server));
}

#[test]
fn a_file_with_other_contents_is_loaded_once_and_one_with_the_same_contents_never() {
    let place = Place::new();
    let file = component(&place, "hello");
    let server = Launch::file(&file).start();
    for (times, name) in ["hello", "environ", "environ", "hello"].into_iter().enumerate() {
        fs::rename(place.file("new", bytes(name)), &file).expect("the test directory is writable");
        if times % 2 == 1 {
            server.served_anew(times / 2 + 1);
        }
    }
    // A broken one is loaded again when it is saved again: the user may have changed something else.
    for times in 1..=2 {
        place.file("handler.wasm", "no wasm");
        server.kept(times);
    }
    place.file("handler.wasm", bytes("hello"));
    server.line_with("is back to the version being served");
    let notices = server.log().iter().filter(|line| line.contains("handler.wasm")).count();
    assert_eq!(notices, 5, "{:#?}", server.log());
}

#[test]
fn no_watch_disables_watching() {
    assert!(Server::start("hello").watches());
    assert!(!Launch::program("hello").flags(["--no-watch"]).start().watches());
}
