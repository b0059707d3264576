//! h11, a strict parser, reads the server's responses.

use serde_json::json;
use wasmserve_tests::{
    real::{python, stdout_of},
    server::{Launch, Server},
};

/// An exchange: the parts to send, the methods in them, and the expected result.
struct Exchange {
    bytes: Vec<String>,
    methods: Vec<&'static str>,
    expected: &'static str,
}

/// An exchange with a single request.
fn one(bytes: impl Into<String>, expected: &'static str) -> Exchange {
    let bytes = bytes.into();
    let method = if bytes.starts_with("HEAD ") { "HEAD" } else { "GET" };
    Exchange { bytes: vec![bytes], methods: vec![method], expected }
}

/// A GET request in HTTP/1.1.
fn get(target: &str, expected: &'static str) -> Exchange {
    one(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"), expected)
}

/// Several requests, sent at once.
fn pipelined(requests: &[(&'static str, &str)], expected: &'static str) -> Exchange {
    Exchange {
        bytes: vec![requests.iter().map(|(_, bytes)| *bytes).collect()],
        methods: requests.iter().map(|(method, _)| *method).collect(),
        expected,
    }
}

/// Runs exchanges, and checks their results.
fn read(server: &Server, exchanges: &[Exchange]) {
    let wanted: Vec<_> = exchanges
        .iter()
        .map(|it| json!({ "port": server.addr().port(), "parts": it.bytes, "methods": it.methods }))
        .collect();
    let results = stdout_of(python().args(["-c", include_str!("strict.py")]), json!(wanted).to_string());
    assert_eq!(results.lines().count(), exchanges.len(), "{results}");
    for (result, Exchange { bytes, expected, .. }) in results.lines().zip(exchanges) {
        assert_eq!(result, *expected, "{}", bytes.concat().escape_default());
    }
}

/// The requests that every guest gets.
const ORDINARY: [&str; 7] = [
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /?n=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nabc=def",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\n=def\r\n0\r\n\r\n",
    "GET /?n=2 HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
];

/// Sends all [`ORDINARY`] requests to a guest.
fn ask(guest: &str, statuses: [&'static str; 7]) {
    let server = Server::start(guest);
    let exchanges: Vec<Exchange> =
        ORDINARY.iter().zip(statuses).map(|(bytes, expected)| one(*bytes, expected)).collect();
    read(&server, &exchanges);
}

const WELL: [&str; 7] = ["200 kept", "200 closed", "200 kept", "200 kept", "200 kept", "200 closed", "200 kept"];

/// Without a length, HTTP/1.0 needs the close.
const STREAMED: [&str; 7] = ["200 kept", "200 closed", "200 kept", "200 kept", "200 kept", "200 closed", "200 closed"];

const FAILED: [&str; 7] = ["500 kept", "500 closed", "500 kept", "500 kept", "500 kept", "500 closed", "500 kept"];

#[test]
fn a_strict_parser_accepts_the_examples() {
    for example in ["hello", "environ", "form", "cookies"] {
        ask(example, WELL);
    }
    ask("router", ["200 kept", "200 closed", "200 kept", "405 kept", "405 kept", "200 closed", "200 kept"]);
    for (example, statuses) in [
        ("json", ["415 kept", "415 closed", "415 kept", "415 kept", "415 kept", "415 closed", "415 kept"]),
        ("upload", ["200 kept", "200 closed", "200 kept", "415 kept", "415 kept", "200 closed", "200 kept"]),
        ("webhook", ["404 kept", "404 closed", "404 kept", "404 kept", "404 kept", "404 closed", "404 kept"]),
        ("middleware", ["401 kept", "401 closed", "401 kept", "401 kept", "401 kept", "401 closed", "401 kept"]),
    ] {
        ask(example, statuses);
    }
    ask("dump", STREAMED);
    ask("echo", WELL);
    // Without a query and a body there is nothing to log.
    ask("logsink", ["400 kept", "204 closed", "400 kept", "204 kept", "204 kept", "204 closed", "400 kept"]);
    ask("verbs", ["200 kept", "200 closed", "501 kept", "200 kept", "200 kept", "200 closed", "200 kept"]);
    let server = Server::start("ticks");
    read(&server, &[get("/?n=2", "200 kept"), one("GET /?n=2 HTTP/1.0\r\n\r\n", "200 closed")]);
}

#[test]
fn a_strict_parser_accepts_failing_guests() {
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
fn a_strict_parser_accepts_guests_that_write_too_much() {
    for guest in ["goes_on_after_finishing", "long_body", "misbehaves", "prints"] {
        ask(guest, WELL);
    }
}

#[test]
fn x3_b2_a_strict_parser_notices_truncated_responses() {
    let server = Server::start("traps_after_first_write");
    read(&server, &[get("/", "200 cut"), get("/length", "200 cut")]);
    let server = Server::start("short_body");
    read(&server, &[get("/", "200 cut")]);
    let server = Server::start("returns_an_error");
    read(&server, &[get("/late", "200 cut")]);
}

#[test]
fn b9_b10_a_strict_parser_accepts_responses_without_a_body() {
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
fn k3_a_strict_parser_accepts_pipelined_responses() {
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
                // A request after `Connection: close` gets no response.
                pipelined(&[("GET", last), ("GET", last)], "200 closed"),
            ],
        );
    }
}

#[test]
fn i9_i11_a_strict_parser_accepts_interim_responses() {
    let head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    let waits = |parts: [&str; 2], expected| Exchange {
        bytes: parts.map(str::to_owned).to_vec(),
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
fn x5_a_strict_parser_accepts_refusals() {
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
    // No request has reached the handler.
    assert!(!server.stop().iter().any(|line| line.contains(" log: ")));
}

#[test]
fn a_strict_parser_accepts_the_504_of_a_slow_handler() {
    for guest in ["spins", "sleeps", "stuck"] {
        let server = Launch::program(guest).flags(["--timeout", "200ms"]).start();
        read(&server, &[get("/", "504 kept")]);
    }
}
