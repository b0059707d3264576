//! Runs the benchmark in its short form, and checks that all servers start and answer correctly.
//!
//! The times that it measures here mean nothing.

use std::{fs, path::Path, process::Command};

use wasmserve_tests::guest;

/// Runs the benchmark with the servers and guests that every machine has, and returns its output.
fn run(words: &[&str]) -> String {
    let output = Command::new(guest::benchmark()).args(words).arg("--short").output().expect("the benchmark starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8 output")
}

/// The rows of all tables: the first cell and the last.
fn rows(text: &str) -> Vec<(&str, &str)> {
    let cells = |line: &'_ str| -> Option<(usize, usize)> {
        let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some((inner.find(" | ")?, inner.rfind(" | ")?))
    };
    let tables = text.lines().filter_map(|line| {
        let (first, last) = cells(line)?;
        Some((&line[2..2 + first], &line[2 + last + 3..line.len() - 2]))
    });
    tables.filter(|(first, _)| *first != "---").collect()
}

#[test]
fn every_benchmark_guest_answers_correctly() {
    let text = run(&["requests", "--only", "wasmserve,variables,fields,echo 1 KiB,JSON,stream"]);
    let rows = rows(&text);
    let guests = ["hello", "five variables", "all variables", "21 fields", "echo 1 KiB", "JSON", "stream 64 KiB"];
    let servers = ["bare hyper", "wasmserve", "wasmserve (p2)", "wasmserve (p3)", "wasmserve (CGI)"];
    for name in servers.iter().chain(&guests) {
        assert!(rows.contains(&(*name, "0")), "`{name}` has no row without failures:\n{text}");
    }
}

#[test]
fn every_benchmark_file_is_served() {
    let text = run(&["files", "--only", "1 KiB,1 MiB"]);
    let rows = rows(&text);
    for name in ["1 KiB, wasmserve", "1 MiB, wasmserve"] {
        assert!(rows.contains(&(name, "0")), "`{name}` has no row without failures:\n{text}");
    }
}

#[test]
fn waiting_benchmark_exchanges_are_answered() {
    let text = run(&["waiting"]);
    assert!(text.contains("| 50 | 50 | 50 |"), "{text}");
}

#[test]
fn every_benchmark_of_a_python_application_answers_correctly() {
    // What needs no package.
    let text = run(&["python", "--only", "hello"]);
    for server in ["wasmserve", "fork per request"] {
        for connections in [1, 8, 32] {
            let name = format!("hello, {server}, {connections}");
            assert!(rows(&text).contains(&(&*name, "0")), "`{name}` has no row without failures:\n{text}");
        }
    }
    for title in ["that wait", "Starts of", "Edits of"] {
        assert!(text.contains(title), "{text}");
    }
}

#[test]
fn every_benchmark_guest_has_an_exercise_or_a_server() {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench");
    let read = |name: &str| fs::read_to_string(bench.join("src").join(name)).expect("the file is readable");
    let sources = read("exercise.rs") + &read("contender.rs");
    let guests = fs::read_dir(bench.join("guests")).expect("the directory is readable");
    let guests = guests.map(|entry| entry.expect("the entry is readable").path());
    for guest in guests.filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let name = guest.file_stem().expect("the file has a name").to_string_lossy();
        assert!(sources.contains(&format!("\"{name}\"")), "nothing uses {}", guest.display());
        assert!(guest::measured(&name).is_file(), "tests/bench/guests/Cargo.toml does not list {name}.rs");
    }
}
