//! Handlers that are `wasi:http` components keep the promises that handlers of our own world keep.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
};

use rustix::process::Signal;
use wasmserve_tests::{
    client::{End, Response, with_length},
    guest,
    http2::{self, Http2},
    server::{Launch, Server},
};

fn server(flags: &[&str]) -> Server {
    Launch::program("speaks_wasi_http").flags(flags).start()
}

/// What a handler answered that describes its request.
fn described(response: &Response) -> Vec<&str> {
    assert_eq!((response.status, response.end), (200, End::Whole), "{}", response.text());
    response.text().lines().collect()
}

#[test]
fn the_request_is_the_one_that_was_sent() {
    let server = server(&[]);
    let response = server.ask("PATCH /describes?a=%20&b HTTP/1.1\r\nHost: example:81\r\nX-A: 1\r\nx-a: 2\r\n\r\n");
    let lines = described(&response);
    assert_eq!(
        lines[..4],
        ["method Method::Patch", "scheme Scheme::Http", "authority example:81", "path /describes?a=%20&b"]
    );
    assert_eq!(lines[4..], ["field x-a: 1", "field x-a: 2"], "Host is the authority");
}

#[test]
fn h6_h7_ambiguous_fields_and_those_of_the_connection_are_left_out() {
    let server = server(&[]);
    let response = server.ask(
        "GET /describes HTTP/1.1\r\nHost: x\r\nX_Forwarded_For: evil\r\nProxy: evil\r\nConnection: keep-alive\r\n\
         Keep-Alive: 5\r\nUpgrade: h2c\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n",
    );
    assert_eq!(described(&response)[4..], ["field x-forwarded-for: 192.0.2.7"]);
}

#[test]
fn a_request_without_host_gets_the_address_that_it_was_sent_to() {
    let server = server(&[]);
    let own = format!("authority {}", server.addr());
    for request in ["GET /describes HTTP/1.0\r\n\r\n", "GET /describes HTTP/1.1\r\nHost:\r\n\r\n"] {
        assert_eq!(described(&server.ask(request))[2], own, "{request}");
    }
}

#[test]
fn a_target_that_is_no_uri_is_percent_encoded() {
    let server = server(&[]);
    let response = server.ask("GET /describes?a=\"`{}|^ HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(described(&response)[3], "path /describes?a=%22%60%7B%7D%7C%5E");
}

#[test]
fn e3_a_mounted_handler_sees_the_path_below_its_mount_and_where_it_is_mounted() {
    let mount = format!("/app={}", guest::program("speaks_wasi_http").display());
    let server = Launch::program("hello").flags(["--mount", &mount]).start();
    let response = server.ask("GET /app/describes?q HTTP/1.1\r\nHost: x\r\nX-Forwarded-Prefix: /evil\r\n\r\n");
    assert_eq!(described(&response)[3..], ["path /describes?q", "field x-forwarded-prefix: /app"]);
    assert_eq!(server.get("/app").status, 404, "the guest sees `/`");
    assert_eq!(server.get("/").text(), "Hello, World!\n");
}

#[test]
fn h11_the_scheme_is_the_one_that_a_trusted_proxy_reports() {
    let server = server(&["--forwarded-allow-ips", "127.0.0.1"]);
    let response = server.ask("GET /describes HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!(described(&response)[1], "scheme Scheme::Https");
}

#[test]
fn a_body_is_streamed_both_ways() {
    let server = server(&[]);
    for framing in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let response = server.ask(format!("POST /echoes HTTP/1.1\r\nHost: x\r\n{framing}"));
        assert_eq!((response.status, response.text(), response.end), (200, "hello", End::Whole));
    }
    let mut client = server.connect();
    client.send("POST /echoes HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\none");
    let head = client.head().expect("the response begins before the request has ended");
    let mut sender = client.sender();
    let mut body = client.body(&head);
    assert_eq!(body.next().as_deref(), Some(&b"one"[..]));
    std::io::Write::write_all(&mut sender, b"two").expect("the server reads");
    assert_eq!(body.next().as_deref(), Some(&b"two"[..]));
}

#[test]
fn i10_a_client_that_waits_for_100_continue_gets_it_when_the_handler_reads() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("POST /counts HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().expect("an interim response").status, 100);
    client.send("hello");
    assert_eq!(client.response().text(), "5");
}

#[test]
fn b1_a_short_response_has_its_length_and_a_longer_one_is_in_chunks() {
    let server = server(&[]);
    let short = with_length(|| server.get("/sets-hop-by-hop"));
    assert_eq!((short.field("content-length"), short.text()), (Some("7"), "refused"));
    let chunks = server.get("/writes-in-chunks");
    assert_eq!((chunks.field("transfer-encoding"), chunks.text()), (Some("chunked"), "one\ntwo\n"));
    let empty = server.get("/sets-no-body");
    assert_eq!((empty.status, empty.field("content-length"), empty.text()), (204, None, ""));
}

/// A misdeed: its path, the status, the kind of the fault, and a part of the reason in the log.
type Misdeed = (&'static str, u16, &'static str, &'static str);

/// The fault of the request for this path, in the log.
fn fault(server: &Server, path: &str, kind: &str) -> String {
    server.line(|line| line.contains(&format!(" {kind}: ")) && line.ends_with(&format!("(GET {path} HTTP/1.1)")))
}

#[test]
fn x1_a_handler_that_fails_before_its_response_is_answered_for() {
    // Each server has at most one short limit, so that a busy machine does not change what ends a handler.
    let (computed, late) = (server(&["--cpu-time", "1s"]), server(&["--timeout", "2s"]));
    let misdeeds: [Misdeed; 16] = [
        ("/sets-nothing", 500, "no-start-response", "without a response"),
        ("/drops-the-outparam", 500, "no-start-response", "without a response"),
        ("/drops-the-response", 500, "no-start-response", "without a response"),
        ("/sets-an-error", 500, "exception", "the handler set the error internal-error: \"no luck\""),
        ("/sets-a-status-of-100", 500, "bad-response-head", "the status is not three digits from 200 to 999"),
        ("/sets-a-status-of-101", 500, "bad-response-head", "the status is not three digits from 200 to 999"),
        ("/sets-a-large-head", 500, "bad-response-head", "the head is too large"),
        ("/sets-many-fields", 500, "bad-response-head", "the head is too large: 101 fields"),
        ("/panics", 500, "trap", "speaks_wasi_http.rs:"),
        ("/panics", 500, "trap", ": nothing was set"),
        ("/exits", 500, "exited", "exit(1)"),
        ("/exits-well", 500, "no-start-response", "without a response"),
        ("/spins", 504, "cpu-limit", "--cpu-time"),
        ("/sleeps", 504, "wall-limit", "in `wasi:io/poll.block`"),
        ("/fills-memory", 500, "memory-limit", "--max-memory"),
        ("/waits-in-block?127.0.0.1:1", 500, "exception", "the handler set the error http-request-denied"),
    ];
    for (path, status, kind, reason) in misdeeds {
        let server = if kind == "wall-limit" { &late } else { &computed };
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\nGET /counts HTTP/1.1\r\nHost: x\r\n\r\n"));
        let failed = client.response();
        assert_eq!((failed.status, failed.field("wasmserve-fault")), (status, Some(kind)), "{path}");
        assert_eq!(client.response().text(), "0", "the next request after {path}");
        let line = fault(server, path, kind);
        assert!(line.contains(reason), "{line}");
    }
    computed.line_with("note: the handler dropped its response-outparam without setting a response");
    computed.line_with("note: request to 127.0.0.1:1 denied; allow it with --allow-net 127.0.0.1:1");
}

/// Handlers that fail in the body of their responses, after they have written `some`.
const CUT: [Misdeed; 9] = [
    ("/writes-less-than-declared", 200, "short-body", "6 bytes less"),
    ("/drops-a-body-of-declared-length", 200, "short-body", "6 bytes less"),
    ("/drops-the-body", 200, "exception", "dropped the body of its response"),
    ("/forgets-the-body", 200, "exception", "returned before it finished the body"),
    ("/finishes-with-an-open-stream", 200, "trap", "resource"),
    ("/panics-in-the-body", 200, "trap", ": in the middle"),
    ("/spins-in-the-body", 200, "cpu-limit", "--cpu-time"),
    ("/exits-in-the-body", 200, "exited", "exit(1)"),
    ("/exits-well-in-the-body", 200, "exception", "returned before it finished the body"),
];

#[test]
fn x3_a_response_that_was_cut_never_looks_complete() {
    let server = server(&["--cpu-time", "1s"]);
    for (path, status, kind, reason) in CUT {
        let cut = server.get(path);
        assert_eq!((cut.status, cut.text(), cut.end), (status, "some", End::Cut), "{path}");
        let line = fault(&server, path, kind);
        assert!(line.contains(reason) && line.contains("response cut: "), "{line}");
        assert_eq!(server.get("/counts").text(), "0", "the next request after {path}");
    }
    let empty = server.get("/takes-no-body-of-declared-length");
    assert_eq!((empty.status, empty.text(), empty.end), (200, "", End::Cut));
    assert!(fault(&server, "/takes-no-body-of-declared-length", "short-body").contains("10 bytes less"));
}

#[test]
fn x3_a_cut_response_is_a_reset_for_http_1_0_and_http_2() {
    let server = server(&["--cpu-time", "1s"]);
    let mut client = Http2::connect(server.addr());
    for (path, status, ..) in CUT {
        let cut = server.ask(format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!((cut.status, cut.end), (status, End::Cut), "{path}");
        let cut = client.get(path);
        assert_eq!((cut.status, cut.text()), (status, "some"), "{path}");
        assert_eq!(cut.end, http2::End::Reset(http2::code::INTERNAL_ERROR), "{path}");
        assert_eq!(client.get("/counts").text(), "0", "the next request after {path}");
    }
}

#[test]
fn s6_s8_a_handler_learns_at_once_that_a_field_or_a_status_is_refused() {
    let server = server(&[]);
    assert_eq!(server.get("/sets-bad-names").text(), "[true, true, true, true, true] [true, true, true]");
    assert_eq!(server.get("/sets-a-bad-status").text(), "refused");
    assert_eq!(server.get("/sets-a-status-of-999").status, 999);
}

#[test]
fn b10_a_body_is_dropped_where_none_is_allowed() {
    let server = server(&[]);
    for (status, length) in [(204, None), (205, Some("0")), (304, None)] {
        let mut client = server.connect();
        client.send(format!(
            "GET /writes-where-no-body-is?status={status} HTTP/1.1\r\nHost: x\r\n\r\n\
             GET /counts HTTP/1.1\r\nHost: x\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!((response.status, response.field("content-length"), response.text()), (status, length, ""));
        assert_eq!(client.response().text(), "0", "the next request after {status}");
    }
    server.line_with("note: 7 bytes of the body were dropped: a response with this status has no body");
}

#[test]
fn b6_a_response_whose_body_was_never_taken_has_none() {
    let server = server(&[]);
    let response = server.get("/takes-no-body");
    assert_eq!((response.status, response.field("content-length"), response.end), (200, Some("0"), End::Whole));
}

/// The trailers of a response, in lower case.
fn trailers<E>(response: &Response<E>) -> Vec<String> {
    response.trailers.iter().map(|(name, value)| format!("{}: {value}", name.to_lowercase())).collect()
}

#[test]
fn b13_trailers_reach_clients_that_take_them() {
    let server = server(&[]);
    let ask = |path: &str, te: &str| server.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{te}\r\n"));
    const TE: &str = "TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n";

    let short = ask("/sends-trailers", TE);
    assert_eq!((short.text(), short.end, short.field("trailer")), ("short", End::Whole, Some("x-sum, x-other")));
    assert_eq!(trailers(&short), ["x-sum: 5", "x-sum: 6", "x-other: 7"]);
    let long = ask("/announces-trailers", TE);
    assert_eq!((long.text(), long.end, long.field("trailer")), ("one\ntwo\n", End::Whole, Some("x-sum, x-unused")));
    assert_eq!(trailers(&long), ["x-sum: 8"]);
    server.line_with("note: the trailer `x-other` was not sent: name it in a `Trailer` field before the body");
    let surprise = ask("/surprises-with-trailers", TE);
    assert_eq!((surprise.text(), surprise.end, trailers(&surprise)), ("one\ntwo\n", End::Whole, vec![]));

    let mut client = Http2::connect(server.addr());
    for path in ["/announces-trailers", "/surprises-with-trailers"] {
        let response = client.get(path);
        assert_eq!((response.text(), response.end), ("one\ntwo\n", http2::End::Whole), "{path}");
        assert_eq!(trailers(&response), ["x-sum: 8", "x-other: 9"], "{path}");
    }
}

#[test]
fn b13_other_responses_have_no_trailers_and_stay_whole() {
    let server = server(&[]);
    let ask = |path: &str, version: &str, te: &str| server.ask(format!("GET {path} {version}\r\nHost: x\r\n{te}\r\n"));
    for (version, te) in [("HTTP/1.1", ""), ("HTTP/1.1", "TE: deflate\r\n"), ("HTTP/1.0", "TE: trailers\r\n")] {
        let short = with_length(|| ask("/sends-trailers", version, te));
        assert_eq!((short.text(), short.field("content-length"), short.field("trailer")), ("short", Some("5"), None));
        assert_eq!((short.end, trailers(&short)), (End::Whole, vec![]));
        let long = ask("/announces-trailers", version, te);
        assert_eq!((long.text(), long.field("trailer"), trailers(&long)), ("one\ntwo\n", None, vec![]));
    }
    server.line_with("note: the trailers were not sent: the client takes none");
    let declared = ask("/sends-trailers-after-a-declared-length", "HTTP/1.1", "TE: trailers\r\n");
    assert_eq!((declared.text(), declared.field("content-length"), declared.end), ("four", Some("4"), End::Whole));
    server.line_with("note: the trailers were not sent: a body with a Content-Length has none");
    let odd = ask("/sends-trailers-that-are-none", "HTTP/1.1", "TE: trailers\r\n");
    assert_eq!((odd.text(), trailers(&odd)), ("short", vec!["x-sum: 5".to_owned()]));
    server.line_with("note: the trailer `set-cookie` was not sent: this field has no meaning after the body");
    let mut client = server.connect();
    client.send(
        "HEAD /sends-trailers HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\nGET /counts HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(client.response_to_head().field("trailer"), None);
    assert_eq!(client.response().text(), "0");
}

#[test]
fn a_request_with_the_fields_of_another_has_none_of_its_host_and_its_connection() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = upstream.local_addr().expect("the socket is bound");
    let server = server(&["--allow-net", &addr.to_string()]);
    let mut client = server.connect();
    client.send(format!(
        "GET /waits-in-block?{addr} HTTP/1.1\r\nHost: inside.example\r\nConnection: close, X-Mine\r\nKeep-Alive: 9\r\n\
         TE: gzip\r\nProxy: evil\r\nProxy-Authorization: Basic YQ==\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\
         X_Mine: evil\r\nX-Mine: kept\r\n\r\n"
    ));
    let (mut connection, _) = upstream.accept().expect("the handler connects");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text").to_lowercase();
    assert!(head.contains(&format!("\r\nhost: {addr}\r\n")) && head.contains("\r\nx-mine: kept\r\n"), "{head}");
    for absent in ["inside", "connection", "keep-alive", "te:", "proxy", "upgrade", "http2-settings", "evil"] {
        assert!(!head.contains(absent), "{absent}: {head}");
    }
    server.ask_by(Signal::QUIT, |log| {
        log.iter().any(|line| line.contains("waiting in `wasi:io/poll.block` for "))
            && log.iter().any(|line| line.contains("at speaks_wasi_http::ask"))
    });
    connection.write_all(b"HTTP/1.1 207 Multi\r\nContent-Length: 0\r\n\r\n").expect("the handler reads");
    assert_eq!(client.response().text(), "207");
}

/// The functions of WASI that wait, each of which `/waits-in-…` waits in, if neither a body comes nor the client reads.
const WAITS: [&str; 6] = [
    "blocking-read",
    "blocking-skip",
    "blocking-splice",
    "blocking-write-and-flush",
    "blocking-write-zeroes-and-flush",
    "blocking-flush",
];

#[test]
fn p3_f19_each_function_that_waits_is_named_in_reports_and_faults() {
    let server = server(&["--timeout", "1s"]);
    let mut clients: Vec<_> = WAITS.iter().map(|_| server.connect()).collect();
    for (function, client) in WAITS.iter().zip(&mut clients) {
        client.send(format!("POST /waits-in-{function} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nsome"));
    }
    server.ask_by(Signal::USR1, |log| {
        WAITS.iter().all(|function| {
            let waits = format!("waiting in `wasi:io/streams.{function}` for ");
            log.iter().any(|line| line.contains(&waits))
        })
    });
    // The others wait for their clients, which --write-timeout ends.
    for (function, status) in [("blocking-read", "504"), ("blocking-skip", "504"), ("blocking-splice", "200")] {
        let line = server.line(|line| line.contains(&format!("(POST /waits-in-{function} HTTP/1.1)")));
        assert!(line.contains(&format!(" {status} wall-limit: ")), "{line}");
        assert!(line.contains(&format!("in `wasi:io/streams.{function}`")), "{line}");
    }
    server.line_with("at <speaks_wasi_http::Speaker as ");
    assert_eq!(server.get("/counts").text(), "0");
}

#[test]
fn b1_a_body_longer_than_declared_is_cut_off_with_a_note() {
    let server = server(&[]);
    let response = server.get("/writes-more-than-declared");
    assert_eq!((response.text(), response.end), ("four", End::Whole));
    server.line_with("note: 4 bytes beyond the Content-Length were cut off");
}

#[test]
fn a_fault_after_a_whole_response_is_logged_and_changes_nothing() {
    let server = server(&["--cpu-time", "1s"]);
    for (path, kind) in [("/panics-after-the-body", "trap"), ("/spins-after-its-response", "cpu-limit")] {
        let response = server.get(path);
        assert_eq!((response.status, response.text(), response.end), (200, "whole", End::Whole), "{path}");
        assert!(fault(&server, path, kind).contains("after the response: "), "{path}");
    }
    for path in ["/goes-on-after-its-response", "/exits-well-after-the-body"] {
        let response = server.get(path);
        assert_eq!((response.status, response.text(), response.end), (200, "whole", End::Whole), "{path}");
    }
    server.line_with("stdout: still there");
}

#[test]
fn b9_a_response_to_head_has_no_body() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("HEAD /writes-in-chunks HTTP/1.1\r\nHost: x\r\n\r\nGET /counts HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
    assert_eq!(client.response().text(), "0");
}

#[test]
fn i7_a_body_that_is_too_large_is_a_413() {
    let server = server(&["--max-body", "10"]);
    let declared = server.ask("POST /counts HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(declared.status, 413);
    let chunked = server.ask(
        "POST /waits-for-the-body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
    );
    assert_eq!((chunked.status, chunked.field("wasmserve-fault")), (413, Some("body-too-large")));
    server.line_with("stdout: ");
    assert_eq!(server.get("/counts").text(), "0");
}

#[test]
fn i5_a_client_that_leaves_in_its_body_is_not_the_handlers_fault() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("POST /waits-for-the-body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    drop(client);
    server.line_with("400 bad-input: the request body ended early (POST /waits-for-the-body HTTP/1.1)");
    assert_eq!(server.get("/counts").text(), "0");
}

#[test]
fn k10_a_handler_finds_its_stream_closed_when_the_client_has_left() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("GET /writes-forever HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().expect("a response").status, 200);
    drop(client);
    server.line_with("stdout: the stream is closed");
}

#[test]
fn p3_a_report_shows_what_a_handler_waits_for_and_where() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("POST /waits-for-the-body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    server.ask_by(Signal::QUIT, |log| {
        log.iter().any(|line| line.contains("waiting in `wasi:io/streams.blocking-read` for "))
            && log.iter().any(|line| line.contains("at speaks_wasi_http::read_all"))
    });
    client.send("hello");
    assert_eq!(client.response().text(), "5 bytes");
}
