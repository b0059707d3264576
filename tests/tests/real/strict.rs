//! A strict reader of all that the server sends: h11.

use serde_json::json;
use wasmserve_tests::{
    real::{python, told},
    server::{Launch, Server},
};

/// An exchange: what is sent in which parts, the methods in it, and what the reader is to say.
struct Exchange {
    octets: Vec<String>,
    methods: Vec<&'static str>,
    expected: &'static str,
}

/// One of a single request.
fn one(octets: impl Into<String>, expected: &'static str) -> Exchange {
    let octets = octets.into();
    let method = if octets.starts_with("HEAD ") { "HEAD" } else { "GET" };
    Exchange { octets: vec![octets], methods: vec![method], expected }
}

/// One GET in HTTP/1.1.
fn get(target: &str, expected: &'static str) -> Exchange {
    one(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"), expected)
}

/// Several requests, sent at once.
fn pipelined(requests: &[(&'static str, &str)], expected: &'static str) -> Exchange {
    Exchange {
        octets: vec![requests.iter().map(|(_, octets)| *octets).collect()],
        methods: requests.iter().map(|(method, _)| *method).collect(),
        expected,
    }
}

/// Has all that a server sends read.
fn read(server: &Server, exchanges: &[Exchange]) {
    let wanted: Vec<_> = exchanges
        .iter()
        .map(|it| json!({ "port": server.addr().port(), "parts": it.octets, "methods": it.methods }))
        .collect();
    let said = told(python().args(["-c", include_str!("strict.py")]), json!(wanted).to_string());
    assert_eq!(said.lines().count(), exchanges.len(), "{said}");
    for (said, Exchange { octets, expected, .. }) in said.lines().zip(exchanges) {
        assert_eq!(said, *expected, "{}", octets.concat().escape_default());
    }
}

/// What is asked of every guest, whatever it makes of it.
const ORDINARY: [&str; 7] = [
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /?n=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nabc=def",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\n=def\r\n0\r\n\r\n",
    "GET /?n=2 HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
];

/// Asks a guest for all that is [`ORDINARY`].
fn ask(guest: &str, statuses: [&'static str; 7]) {
    let server = Server::start(guest);
    let exchanges: Vec<Exchange> =
        ORDINARY.iter().zip(statuses).map(|(octets, expected)| one(*octets, expected)).collect();
    read(&server, &exchanges);
}

const WELL: [&str; 7] = ["200 kept", "200 closed", "200 kept", "200 kept", "200 kept", "200 closed", "200 kept"];

/// Without a length, HTTP/1.0 needs the close.
const STREAMED: [&str; 7] = ["200 kept", "200 closed", "200 kept", "200 kept", "200 kept", "200 closed", "200 closed"];

const FAILED: [&str; 7] = ["500 kept", "500 closed", "500 kept", "500 kept", "500 kept", "500 closed", "500 kept"];

#[test]
fn the_examples_send_what_a_strict_reader_takes() {
    for example in ["hello", "environ", "form", "cookies"] {
        ask(example, WELL);
    }
    ask("router", ["200 kept", "200 closed", "200 kept", "405 kept", "405 kept", "200 closed", "200 kept"]);
    for (example, refused) in [
        ("json", ["415 kept", "415 closed", "415 kept", "415 kept", "415 kept", "415 closed", "415 kept"]),
        ("middleware", ["401 kept", "401 closed", "401 kept", "401 kept", "401 kept", "401 closed", "401 kept"]),
    ] {
        ask(example, refused);
    }
    ask("dump", STREAMED);
    ask("echo", WELL);
    ask("logsink", ["204 kept", "204 closed", "204 kept", "204 kept", "204 kept", "204 closed", "204 kept"]);
    ask("verbs", ["200 kept", "200 closed", "501 kept", "200 kept", "200 kept", "200 closed", "200 kept"]);
    let server = Server::start("ticks");
    read(&server, &[get("/?n=2", "200 kept"), one("GET /?n=2 HTTP/1.0\r\n\r\n", "200 closed")]);
}

#[test]
fn guests_that_misbehave_send_what_a_strict_reader_takes() {
    for guest in [
        "exits",
        "grows_memory",
        "overflows_the_stack",
        "panics",
        "returns_an_error",
        "returns_without_starting",
        "starts_twice",
        "traps",
        "writes_before_starting",
    ] {
        ask(guest, FAILED);
    }
}

#[test]
fn guests_that_only_say_too_much_send_what_a_strict_reader_takes() {
    for guest in ["goes_on_after_finishing", "long_body", "misbehaves", "prints"] {
        ask(guest, WELL);
    }
}

#[test]
fn x3_b2_a_strict_reader_notices_what_was_cut() {
    let server = Server::start("traps_after_first_write");
    read(&server, &[get("/", "200 cut"), get("/length", "200 cut")]);
    let server = Server::start("short_body");
    read(&server, &[get("/", "200 cut")]);
    let server = Server::start("returns_an_error");
    read(&server, &[get("/late", "200 cut")]);
}

#[test]
fn b9_b10_responses_without_a_body_are_what_a_strict_reader_takes() {
    let server = Server::start("starts_as_told");
    let head = |query: &str, expected| one(format!("HEAD /?{query} HTTP/1.1\r\nHost: x\r\n\r\n"), expected);
    let next = "GET /?chunk=next HTTP/1.1\r\nHost: x\r\n\r\n";
    let before_next = |query: &str, expected| {
        let first = format!("GET /?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
        pipelined(&[("GET", &first), ("GET", next)], expected)
    };
    read(
        &server,
        &[
            before_next("status=204&chunk=body", "204 200 kept"),
            before_next("status=204&field=Content-Length:4&chunk=body", "204 200 kept"),
            before_next("status=205&chunk=body", "205 200 kept"),
            before_next("status=304&chunk=body", "304 200 kept"),
            before_next("status=304&field=Content-Length:4&chunk=body", "304 200 kept"),
            before_next("status=599+Weird", "599 200 kept"),
            before_next("status=200", "200 200 kept"),
            before_next("field=Content-Length:4&chunk=body", "200 200 kept"),
            before_next("chunk=one&chunk=two", "200 200 kept"),
            head("chunk=body", "200 kept"),
            head("chunk=one&chunk=two", "200 kept"),
            head("field=Content-Length:4&chunk=body", "200 kept"),
            head("status=204", "204 kept"),
            pipelined(
                &[
                    ("HEAD", "HEAD /?chunk=body HTTP/1.1\r\nHost: x\r\n\r\n"),
                    ("HEAD", "HEAD /?chunk=one&chunk=two HTTP/1.1\r\nHost: x\r\n\r\n"),
                    ("GET", next),
                ],
                "200 200 200 kept",
            ),
            one("GET /?status=204&chunk=body HTTP/1.0\r\n\r\n", "204 closed"),
            one("GET /?chunk=one&chunk=two HTTP/1.0\r\n\r\n", "200 closed"),
        ],
    );
}

#[test]
fn k3_pipelined_responses_are_what_a_strict_reader_takes() {
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for guest in ["echo", "dump", "ignores_input", "reads_input"] {
        let server = Server::start(guest);
        read(
            &server,
            &[
                pipelined(&[("POST", post), ("POST", chunked), ("HEAD", head), ("POST", post)], "200 200 200 200 kept"),
                pipelined(&[("POST", chunked), ("GET", last)], "200 200 closed"),
                // What is behind the last one gets no answer.
                pipelined(&[("GET", last), ("GET", last)], "200 closed"),
            ],
        );
    }
}

#[test]
fn i9_i11_interim_responses_are_what_a_strict_reader_takes() {
    let head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    let waits = |parts: [&str; 2], expected| Exchange {
        octets: parts.map(str::to_owned).to_vec(),
        methods: vec!["POST"],
        expected,
    };
    let server = Server::start("reads_input");
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    read(&server, &[waits([head, "hello"], "100 200 kept"), waits([chunked, chunks], "100 200 kept")]);
    let server = Server::start("ignores_input");
    read(&server, &[waits([head, "hello"], "200 closed"), waits([chunked, chunks], "200 closed")]);
    let server = Launch::program("reads_input").flags(["--max-body", "4"]).start();
    read(&server, &[waits([head, "hello"], "413 closed"), waits([chunked, chunks], "100 413 closed")]);
}

#[test]
fn x5_refusals_are_what_a_strict_reader_takes() {
    let server = Launch::program("dump").flags(["--max-body", "1KiB"]).start();
    let with = |line: &str, fields: &str, expected| one(format!("{line}\r\nHost: x\r\n{fields}\r\n"), expected);
    read(
        &server,
        &[
            one("GET /\r\n\r\n", "400 closed"),
            one("hello\r\n\r\n", "400 closed"),
            one("GET / HTTP/1.1\r\n\r\n", "400 closed"),
            with("GET / HTTP/1.1", "Host: x\r\n", "400 closed"),
            with("GET / HTTP/1.1", "no colon\r\n", "400 closed"),
            with("GET * HTTP/1.1", "", "400 closed"),
            with("OPTIONS * HTTP/1.1", "", "200 kept"),
            with("HEAD * HTTP/1.1", "", "400 closed"),
            with("POST / HTTP/1.1", "Content-Length: 1025\r\n", "413 closed"),
            with(&format!("GET /{} HTTP/1.1", "a".repeat(9000)), "", "414 closed"),
            with("POST / HTTP/1.1", "Content-Length: 1\r\nExpect: the-unexpected\r\n", "417 closed"),
            with("GET / HTTP/1.1", &format!("A: {}\r\n", "a".repeat(40_000)), "431 closed"),
            with("GET / HTTP/1.1", &"A: b\r\n".repeat(101), "431 closed"),
            with("CONNECT x:1 HTTP/1.1", "", "501 closed"),
            with("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n", "501 closed"),
            with("GET * HTTP/1.0", "Connection: keep-alive\r\n", "400 closed"),
        ],
    );
    // Nothing has reached the handler.
    assert!(!server.stop().iter().any(|line| line.contains(" log: ")));
}

#[test]
fn a_handler_that_takes_too_long_is_a_504_that_a_strict_reader_takes() {
    for guest in ["spins", "sleeps", "stuck"] {
        let server = Launch::program(guest).flags(["--timeout", "200ms"]).start();
        read(&server, &[get("/", "504 kept")]);
    }
}
