//! Files and links are swapped while they are served: none of thousands of requests gets what is outside.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use wasmserve_tests::{place::Place, server::Launch};

/// How many requests are sent for each path.
const REQUESTS: usize = 3000;

/// Swaps two names until it is asked to stop.
fn swap(one: &Path, other: &Path, is_done: &AtomicBool) {
    while !is_done.load(Ordering::Relaxed) {
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("both names exist");
    }
}

#[test]
fn nothing_outside_is_served_while_names_are_swapped() {
    let place = Place::new();
    for directory in ["site/d", "outside"] {
        fs::create_dir_all(place.join(directory)).expect("a place is writable");
    }
    for (name, content) in [("site/d/f", "inside"), ("site/f", "inside"), ("outside/f", "outside")] {
        place.file(name, content);
    }
    symlink("../outside", place.join("site/d-link")).expect("a place is writable");
    symlink(fs::canonicalize(place.join("outside/f")).expect("it exists"), place.join("site/f-link"))
        .expect("a place is writable");
    let server = Launch::bare().at(&place).flags(["site", "--addr", "127.0.0.1:0", "--access-log-format=none"]).start();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| swap(&place.join("site/d"), &place.join("site/d-link"), &is_done));
        scope.spawn(|| swap(&place.join("site/f"), &place.join("site/f-link"), &is_done));
        let asks = ["/d/f", "/f", "/"].map(|target| {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for _ in 0..REQUESTS {
                    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
                    let response = client.response();
                    let is_fine = match response.status {
                        200 => response.text() == "inside" || target == "/",
                        404 => target != "/",
                        _ => false,
                    };
                    assert!(is_fine, "{target}: {response:?}");
                }
            })
        });
        let results = asks.map(|ask| ask.join());
        is_done.store(true, Ordering::Relaxed);
        for result in results {
            result.expect("each response is from inside");
        }
    });
}
