//! `wasmserve inspect` describes a component.

use std::path::Path;

use wasmserve_tests::{
    guest,
    place::Place,
    server::{Launch, refuses},
};

/// The exit code, which is 0 if the file can be served, and the report.
fn inspect(file: &Path) -> (Option<i32>, String) {
    let ended = Launch::bare().flags(["inspect"]).flags([file]).run();
    assert!(ended.stderr.is_empty() || ended.stderr.contains("for the first time…"), "{}", ended.stderr);
    (ended.code, ended.stdout)
}

/// The lines of a report under a title, including the line of the title itself.
fn section<'a>(report: &'a str, title: &str) -> Vec<&'a str> {
    let mut lines = report.lines().skip_while(|line| line[..9].trim_end() != title);
    let first = lines.next().unwrap_or_else(|| panic!("no {title} in {report}"));
    let rest = lines.take_while(|line| line[..9].trim().is_empty());
    [first].into_iter().chain(rest).map(|line| &line[10..]).collect()
}

#[test]
fn a_handler_is_described_with_its_imports() {
    let (code, report) = inspect(guest::program("connects"));
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(section(&report, "served"), ["yes"]);
    assert_eq!(section(&report, "world"), ["a handler: exports `wasmserve:gateway/handler@0.1.0`"]);
    assert!(section(&report, "exports").contains(&"wasmserve:gateway/handler@0.1.0"), "{report}");
    let imports = section(&report, "imports");
    for (interface, what) in [
        ("wasmserve:gateway/environ@", "the request and its response"),
        ("wasi:cli/environment@", "environment variables (--env)"),
        ("wasi:filesystem/preopens@", "files (--dir)"),
        ("wasi:sockets/tcp@", "the network (--allow-net)"),
    ] {
        let is_it = |line: &&str| line.starts_with(interface) && line.ends_with(what);
        assert!(imports.iter().any(is_it), "{interface} {what} is not in {report}");
    }
    let reach = section(&report, "access").concat();
    let (always, granted) = reach.split_once("; if granted: ").expect("some access needs a grant");
    assert!(always.contains("clocks") && !always.contains("files"), "{reach}");
    assert!(granted.contains("files") && granted.contains("the network"), "{reach}");
    assert!(section(&report, "memory")[0].ends_with("initially, at most what --max-memory allows"), "{report}");
    assert_eq!(section(&report, "stacks"), ["show function names, and files and lines with --debug"]);
    let tools = section(&report, "made with").concat();
    assert!(tools.contains("language: ") && tools.contains("Rust") && tools.contains("rustc 1."), "{tools}");
}

#[test]
fn a_component_that_cannot_be_served_is_explained() {
    let place = Place::new();
    let text = r#"(component
        (import "acme:db/sql@1.0.0" (instance (export "ask" (func))))
        (import "wasi:random/insecure@0.2.0" (instance (export "get-insecure-random-u64" (func (result u64)))))
        (core module (memory 2 3) (func))
    )"#;
    let file = place.file("odd.wasm", wat::parse_str(text).expect("valid WAT"));
    let (code, report) = inspect(&file);
    assert_eq!(code, Some(4), "{report}");
    let why = section(&report, "served").concat();
    assert!(why.starts_with("no: the host has no import `acme:db/sql@1.0.0`; it does not export "), "{why}");
    assert_eq!(section(&report, "world"), ["unknown: exports no interface of a handler"]);
    assert_eq!(
        section(&report, "imports"),
        [
            "acme:db/sql@1.0.0           missing: the host has no such import",
            "wasi:random/insecure@0.2.0  random numbers"
        ]
    );
    assert_eq!(section(&report, "access"), ["random numbers"]);
    assert_eq!(section(&report, "memory"), ["128.0 KiB initially, at most 192.0 KiB"]);
    assert_eq!(section(&report, "stacks"), ["show function numbers only: it was built without names"]);
}

#[test]
fn each_kind_is_named_with_what_it_cannot_keep() {
    for (program, world, lost) in [
        ("hello", "a handler: exports", None),
        ("speaks_wasi_http", "a component of wasi:http 0.2", Some("the client's address")),
        ("speaks_wasi_http_3", "a component of wasi:http 0.3, which is experimental", Some("the client's address")),
        ("answers_as_cgi", "a CGI program of WASI 0.2", Some("bytes that are not UTF-8")),
    ] {
        let (code, report) = inspect(guest::program(program));
        assert_eq!(code, Some(0), "{report}");
        assert!(section(&report, "world")[0].starts_with(world), "{report}");
        match lost {
            Some(lost) => assert!(section(&report, "not kept").concat().contains(lost), "{report}"),
            None => assert!(!report.contains("not kept"), "{report}"),
        }
    }
}

#[test]
fn a_component_for_another_version_is_recognized() {
    let place = Place::new();
    for (export, what, why) in [
        (
            "wasi:http/incoming-handler@0.2.0-rc-2023-11-10",
            "a component of wasi:http 0.2",
            "`wasi:http/incoming-handler@0.2.0-rc-2023-11-10`, a draft of WASI 0.2; build it with current tools",
        ),
        (
            "wasmserve:gateway/handler@9.0.0",
            "a handler for another version: exports `wasmserve:gateway/handler@9.0.0`",
            "it does not export `wasmserve:gateway/handler@0.1.0`, `wasi:http/incoming-handler@0.2.x`, ",
        ),
        (
            "wasi:http/handler@0.9.0",
            "a handler for another version: exports `wasi:http/handler@0.9.0`",
            "`wasi:cli/run@0.2.x`",
        ),
    ] {
        let text = format!(r#"(component (instance $i) (export "{export}" (instance $i)))"#);
        let file = place.file("other.wasm", wat::parse_str(text).expect("valid WAT"));
        let (code, report) = inspect(&file);
        assert_eq!(code, Some(4));
        assert!(section(&report, "world")[0].starts_with(what), "{report}");
        assert!(section(&report, "served").concat().contains(why), "{report}");
    }
}

#[test]
fn everything_that_is_missing_is_listed_also_if_it_uses_resources_of_wasi() {
    let place = Place::new();
    let text = r#"(component
        (import "wasi:io/streams@0.2.0" (instance $streams
            (export "output-stream" (type $stream (sub resource)))
            (export "[method]output-stream.sing" (func (param "self" (borrow $stream))))
        ))
        (alias export $streams "output-stream" (type $stream))
        (import "wasmcloud:blobs/store@1.0.0" (instance
            (export "output-stream" (type $same (eq $stream)))
            (export "blob" (type $blob (sub resource)))
            (export "write" (func (param "to" (own $same)) (result (own $blob))))
        ))
        (import "wasi:keyvalue/store@0.2.0-draft" (instance (export "open" (func))))
        (import "fermyon:spin/key-value@2.0.0" (instance (export "open" (func))))
        (import "wasi:http/types@0.2.0-rc-2023-11-10" (instance (export "drop-fields" (func (param "fields" u32)))))
        (instance $none)
        (export "wasi:http/incoming-handler@0.2.0" (instance $none))
    )"#;
    let file = place.file("other.wasm", wat::parse_str(text).expect("valid WAT"));
    let (code, report) = inspect(&file);
    assert_eq!(code, Some(4));
    assert_eq!(
        section(&report, "served").concat().split("; ").collect::<Vec<_>>(),
        [
            "no: the host's `wasi:io/streams@0.2.0` has no `[method]output-stream.sing`",
            "the host has no import `wasmcloud:blobs/store@1.0.0` (only wasmCloud has it)",
            "the host has no import `wasi:keyvalue/store@0.2.0-draft` (a proposal for WASI, which no version of it contains)",
            "the host has no import `fermyon:spin/key-value@2.0.0` (only Spin has it)",
            "the host has no import `wasi:http/types@0.2.0-rc-2023-11-10` (a draft of WASI: build it with current tools)",
        ]
    );
    let imports = section(&report, "imports").join("\n");
    assert!(imports.contains("missing in it: [method]output-stream.sing"), "{report}");
}

#[test]
fn names_from_the_file_are_escaped() {
    let place = Place::new();
    let text = r#"(component
        (@custom "producers" "\01\08language\01\04\1b[2J\041\0d\0a2")
        (@custom "producers" "this is none")
        (@custom "name" "\ff")
    )"#;
    let file = place.file("evil.wasm", wat::parse_str(text).expect("valid WAT"));
    let (_, report) = inspect(&file);
    assert!(report.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{report:?}");
    assert_eq!(section(&report, "made with"), ["language: \\x1b[2J 1\\x0d\\x0a2"]);
}

#[test]
fn a_file_that_is_not_a_component_is_reported_in_one_line() {
    let place = Place::new();
    let refused = |content: &[u8], parts: &[&str]| {
        let file = place.file("x.wasm", content);
        refuses(Launch::bare().flags(["inspect"]).flags([&file]), 4, parts);
    };
    refused(b"", &["x.wasm` is empty"]);
    refused(b"#!/bin/sh", &["is not a wasm component", "wasm32-wasip2"]);
    refused(&wat::parse_str("(module)").expect("valid WAT"), &["is a core module", "wasm-tools component new"]);
    refused(b"\0asm\x0d\0\x01\0\x07\xff\xff", &["is not a valid component"]);
    refuses(Launch::bare().flags(["inspect", "missing.wasm"]), 4, &["missing.wasm", "No such file"]);
    refuses(Launch::bare().flags(["inspect"]), 2, &["no component given"]);
    let hello = guest::program("hello");
    let small = Launch::bare().flags(["inspect", "--max-component", "1KiB"]).flags([hello]);
    refuses(small, 4, &["hello.wasm", "--max-component allows 1024"]);
}
