//! Components that take too much time or memory to compile, which happens in a separate process.

use std::{fs, path::Path, thread, time::Instant};

use rustix::process::Signal;
use wasmserve_tests::{
    TIMEOUT, guest,
    place::Place,
    server::{Launch, refuses},
};

/// A component with one function of this body.
fn component(body: &str) -> Vec<u8> {
    let locals = " i32".repeat(300);
    let text = format!(r#"(component (core module (func (export "f") (local{locals}) {body})))"#);
    wat::parse_str(text).expect("valid WAT")
}

/// A component that takes minutes to compile, because the time grows with the square of the nesting depth.
fn slow() -> Vec<u8> {
    component(&format!("{}{}", "loop ".repeat(60_000), "end ".repeat(60_000)))
}

/// A component that takes about 100 MiB to compile: 300 variables may have new values after each of many branches.
fn large() -> Vec<u8> {
    let branch =
        |i| format!("local.get {} if local.get {} local.set {} end ", i % 300, (7 * i + 1) % 300, (13 * i) % 300);
    component(&(0..10_000).map(branch).collect::<String>())
}

/// A server for this file, with its own cache.
fn launch(file: &Path, cache: &Path, flags: &[&str]) -> Launch {
    Launch::file(file).env("XDG_CACHE_HOME", cache).flags(flags)
}

#[test]
fn p16_a_component_that_takes_too_long_to_compile_is_refused() {
    let place = Place::new();
    let file = place.file("slow.wasm", slow());
    // With a cache, and without.
    for cache in [&*place, Path::new("/proc/wasmserve-tests")] {
        let ended = launch(&file, cache, &["--compile-timeout", "2s"]).run();
        assert_eq!(ended.code, Some(4), "{ended:?}");
        let lines: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains("no compile cache")).collect();
        let [notice, line] = &*lines else { panic!("a notice and a reason: {lines:#?}") };
        assert!(notice.starts_with("wasmserve: compiling `") && notice.contains("slow.wasm"), "{notice}");
        for part in ["slow.wasm` takes ", "than 2 s", "to compile; raise --compile-timeout"] {
            assert!(line.contains(part), "`{part}` is not in: {line}");
        }
    }
}

#[test]
fn p16_a_component_that_takes_too_much_memory_to_compile_is_refused() {
    let place = Place::new();
    let file = place.file("large.wasm", large());
    let parts = ["large.wasm` needs more than 64MiB of memory to compile", "--compile-memory"];
    refuses(launch(&file, &place, &["--compile-memory", "64MiB"]), 4, &parts);
}

#[test]
fn p16_a_cached_component_is_not_subject_to_the_compile_limits() {
    let cache = Place::new();
    let hello = guest::program("hello");
    // Too little to compile anything.
    let tight = &["--compile-memory", "1MiB"];
    refuses(launch(hello, &cache, tight), 4, &["needs more than 1MiB of memory to compile"]);
    drop(launch(hello, &cache, &[]).start());
    assert_eq!(launch(hello, &cache, tight).start().get("/").status, 200);

    // Other components are still subject to them.
    refuses(launch(guest::program("echo"), &cache, tight), 4, &["needs more than 1MiB of memory to compile"]);
}

/// The children of a process.
fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| state(*pid).is_some_and(|(_, its_parent)| its_parent == parent);
    let entries = fs::read_dir("/proc").expect("/proc is readable").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// The state of a process and the id of its parent, if the process exists.
fn state(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

#[test]
fn p16_the_compiler_stops_when_the_server_is_killed() {
    let place = Place::new();
    let server = launch(&place.file("slow.wasm", slow()), &place, &[]).spawn();
    server.line_with("wasmserve: compiling `");
    let children = children(server.id());
    assert_eq!(children.len(), 1, "one process compiles");
    server.signal(Signal::KILL);
    let deadline = Instant::now() + TIMEOUT;
    while children.iter().any(|child| state(*child).is_some_and(|(state, _)| state != "Z")) {
        assert!(Instant::now() < deadline, "the compiler still runs");
        thread::yield_now();
    }
}
