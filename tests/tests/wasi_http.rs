//! Handlers that are `wasi:http` components keep the promises that handlers of our own world keep.

use rustix::process::Signal;
use wasmserve_tests::{
    client::{End, Response},
    guest,
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
    let short = server.get("/sets-hop-by-hop");
    assert_eq!((short.field("content-length"), short.text()), (Some("7"), "refused"));
    let chunks = server.get("/writes-in-chunks");
    assert_eq!((chunks.field("transfer-encoding"), chunks.text()), (Some("chunked"), "one\ntwo\n"));
    let empty = server.get("/sets-no-body");
    assert_eq!((empty.status, empty.field("content-length"), empty.text()), (204, None, ""));
}

/// A misdeed: its path, the status, the kind of the fault, and a part of the reason in the log.
type Misdeed = (&'static str, u16, &'static str, &'static str);

#[test]
fn a_handler_that_fails_before_its_response_is_answered_for() {
    let server = server(&["--timeout", "2s", "--cpu-time", "300ms"]);
    let misdeeds: [Misdeed; 9] = [
        ("/sets-nothing", 500, "no-start-response", "without a response"),
        ("/drops-the-outparam", 500, "no-start-response", "without a response"),
        ("/sets-an-error", 500, "exception", "the handler set the error InternalError(Some(\"no luck\"))"),
        ("/sets-a-status-of-100", 500, "bad-response-head", "the status is not three digits from 200 to 999"),
        ("/panics", 500, "trap", "unreachable"),
        ("/exits", 500, "exited", "exit(1)"),
        ("/spins", 504, "cpu-limit", "--cpu-time"),
        ("/sleeps", 504, "wall-limit", "in `wasi:io/poll.block`"),
        ("/fills-memory", 500, "memory-limit", "--max-memory"),
    ];
    for (path, status, kind, reason) in misdeeds {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\nGET /counts HTTP/1.1\r\nHost: x\r\n\r\n"));
        let failed = client.response();
        assert_eq!((failed.status, failed.field("wasmserve-fault")), (status, Some(kind)), "{path}");
        assert_eq!(client.response().text(), "0", "the next request after {path}");
        let line = server
            .line(|line| line.contains(&format!(" {kind}: ")) && line.ends_with(&format!("(GET {path} HTTP/1.1)")));
        assert!(line.contains(reason), "{line}");
    }
}

#[test]
fn x3_a_response_that_was_cut_never_looks_complete() {
    let server = server(&["--cpu-time", "300ms"]);
    let misdeeds: [(&str, &str, &str); 7] = [
        ("/writes-less-than-declared", "short-body", "6 bytes less"),
        ("/drops-a-body-of-declared-length", "short-body", "6 bytes less"),
        ("/drops-the-body", "exception", "dropped the body of its response"),
        ("/forgets-the-body", "exception", "returned before it finished the body"),
        ("/panics-in-the-body", "trap", "unreachable"),
        ("/spins-in-the-body", "cpu-limit", "--cpu-time"),
        ("/exits-in-the-body", "exited", "exit(1)"),
    ];
    for (path, kind, reason) in misdeeds {
        let cut = server.get(path);
        assert_eq!((cut.status, cut.text(), cut.end), (200, "some", End::Cut), "{path}");
        let line = server
            .line(|line| line.contains(&format!(" {kind}: ")) && line.ends_with(&format!("(GET {path} HTTP/1.1)")));
        assert!(line.contains(reason), "{line}");
        assert_eq!(server.get("/counts").text(), "0", "the next request after {path}");
    }
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
    let server = server(&[]);
    let response = server.get("/panics-after-the-body");
    assert_eq!((response.status, response.text(), response.end), (200, "whole", End::Whole));
    server.line_with("trap: ");
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
