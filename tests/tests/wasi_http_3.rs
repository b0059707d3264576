//! Handlers that are components of `wasi:http` 0.3 keep the promises that those of 0.2 keep.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use rustix::process::Signal;
use wasmserve_tests::{
    client::{End, Response, with_length},
    guest,
    http2::Http2,
    place::Place,
    server::{Launch, Server, refuses},
};

fn server(flags: &[&str]) -> Server {
    Launch::program("speaks_wasi_http_3").flags(flags).start()
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
fn e3_kinds_are_mounted_beside_each_other() {
    let mount = |path: &str, name: &str| format!("{path}={}", guest::program(name).display());
    let server = Launch::program("hello")
        .flags(["--mount", &mount("/2", "speaks_wasi_http"), "--mount", &mount("/3", "speaks_wasi_http_3")])
        .start();
    let response = server.ask("GET /3/describes?q HTTP/1.1\r\nHost: x\r\nX-Forwarded-Prefix: /evil\r\n\r\n");
    assert_eq!(described(&response)[3..], ["path /describes?q", "field x-forwarded-prefix: /3"]);
    assert_eq!(server.get("/2/counts").text(), "0");
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
    for path in ["/echoes", "/echoes-by-hand"] {
        for framing in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            let response = server.ask(format!("POST {path} HTTP/1.1\r\nHost: x\r\n{framing}"));
            assert_eq!((response.status, response.text(), response.end), (200, "hello", End::Whole), "{path}");
        }
    }
    let mut client = server.connect();
    client.send("POST /echoes HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\none");
    let head = client.head().expect("the response begins before the request has ended");
    let mut sender = client.sender();
    let mut body = client.body(&head);
    assert_eq!(body.next().as_deref(), Some(&b"one"[..]));
    sender.write_all(b"two").expect("the server reads");
    assert_eq!(body.next().as_deref(), Some(&b"two"[..]));
}

#[test]
fn a_large_body_arrives_whole_in_both_directions() {
    let server = server(&[]);
    let body = "0123456789abcdef".repeat(1 << 18);
    let request = format!("POST /echoes-by-hand HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 1000);
    assert_eq!(server.ask(format!("{request}{}", &body[..1000])).text(), &body[..1000]);
    let mut client = server.connect();
    let mut sender = client.sender();
    thread::scope(|scope| {
        scope.spawn(|| {
            let head = format!("POST /echoes HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
            sender.write_all(head.as_bytes()).expect("the server reads");
            sender.write_all(body.as_bytes()).expect("the server reads");
        });
        let response = client.response();
        assert_eq!((response.status, response.end), (200, End::Whole));
        assert!(response.text() == body, "{} bytes", response.text().len());
    });
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
fn a_handler_reads_the_trailers_of_its_request() {
    let server = server(&[]);
    let response = server.ask(
        "POST /trailers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(response.text(), "5 bytes\nx-sum: 1\n");
}

#[test]
fn b13_trailers_reach_clients_that_take_them() {
    let server = server(&[]);
    let trailers = |response: &[(String, String)]| {
        response.iter().map(|(name, value)| format!("{}: {value}", name.to_lowercase())).collect::<Vec<_>>()
    };
    let taken = server.ask("GET /sends-trailers HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_eq!(
        (taken.text(), taken.end, trailers(&taken.trailers)),
        ("summed", End::Whole, vec!["x-sum: 6".to_owned()])
    );
    let other = server.get("/sends-trailers");
    assert_eq!((other.text(), other.end, trailers(&other.trailers)), ("summed", End::Whole, vec![]));
    let response = Http2::connect(server.addr()).get("/sends-trailers");
    assert_eq!((response.text(), trailers(&response.trailers)), ("summed", vec!["x-sum: 6".to_owned()]));
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

fn is_answered_for(server: &Server, misdeeds: &[Misdeed]) {
    for (path, status, kind, reason) in misdeeds {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\nGET /counts HTTP/1.1\r\nHost: x\r\n\r\n"));
        let failed = client.response();
        assert_eq!((failed.status, failed.field("wasmserve-fault")), (*status, Some(*kind)), "{path}");
        assert_eq!(client.response().text(), "0", "the next request after {path}");
        is_logged(server, path, kind, reason);
    }
}

fn is_logged(server: &Server, path: &str, kind: &str, reason: &str) {
    let line =
        server.line(|line| line.contains(&format!(" {kind}: ")) && line.ends_with(&format!("(GET {path} HTTP/1.1)")));
    assert!(line.contains(reason), "{line}");
}

#[test]
fn a_handler_that_fails_before_its_response_is_answered_for() {
    is_answered_for(
        &server(&["--cpu-time", "1s"]),
        &[
            ("/returns-an-error", 500, "exception", "the handler set the error internal-error: \"no luck\""),
            ("/sets-a-status-of-100", 500, "bad-response-head", "the status is not three digits from 200 to 999"),
            ("/panics", 500, "trap", "panicked at "),
            ("/panics-after-waiting", 500, "trap", "panicked at "),
            ("/exits", 500, "exited", "exit(1)"),
            ("/spins", 504, "cpu-limit", "--cpu-time"),
            ("/yields-forever", 504, "cpu-limit", "--cpu-time"),
            ("/fills-memory", 500, "memory-limit", "--max-memory"),
            ("/makes-streams-forever", 500, "handle-limit", "--max-handles"),
            ("/starts-tasks-forever", 500, "handle-limit", "--max-handles"),
            ("/overflows-the-stack", 500, "stack-overflow", "overflowed"),
        ],
    );
}

#[test]
fn a_handler_that_waits_for_too_long_is_answered_for() {
    let server = server(&["--timeout", "1s"]);
    is_answered_for(
        &server,
        &[
            ("/waits", 504, "wall-limit", "in `wasi:clocks/monotonic-clock.wait-for`"),
            ("/sleeps", 504, "wall-limit", "in `wasi:io/poll.block`"),
            ("/waits-for-itself", 504, "wall-limit", "--timeout"),
        ],
    );
    server.line(|line| line.ends_with("  at speaks_wasi_http_3::wait_long::{{closure}}"));
    server.line_with("note: the handler waits for no host call, but for a stream, future or task of its own");
}

/// Each path begins a response, and then fails: with this kind of fault, and this part of the reason in the log.
fn is_cut(server: &Server, misdeeds: &[(&str, &str, &str)]) {
    for (path, kind, reason) in misdeeds {
        let cut = server.get(path);
        assert_eq!((cut.status, cut.text(), cut.end), (200, "some", End::Cut), "{path}");
        is_logged(server, path, kind, reason);
        assert_eq!(server.get("/counts").text(), "0", "the next request after {path}");
    }
}

#[test]
fn x3_a_response_that_was_cut_never_looks_complete() {
    is_cut(
        &server(&["--cpu-time", "1s"]),
        &[
            ("/writes-less-than-declared", "short-body", "6 bytes less"),
            ("/ends-the-body-with-an-error", "exception", "ended with the error internal-error: \"half way\""),
            ("/panics-in-the-body", "trap", "panicked at "),
            ("/panics-while-writing", "trap", "panicked at "),
            ("/spins-in-the-body", "cpu-limit", "--cpu-time"),
            ("/exits-in-the-body", "exited", "exit(1)"),
        ],
    );
    is_cut(
        &server(&["--timeout", "1s"]),
        &[
            ("/forgets-the-body", "wall-limit", "--timeout"),
            ("/sleeps-in-the-body", "wall-limit", "in `wasi:io/poll.block`"),
        ],
    );
}

#[test]
fn b1_a_body_longer_than_declared_is_cut_off_with_a_note() {
    let server = server(&[]);
    let response = server.get("/writes-more-than-declared");
    assert_eq!((response.text(), response.end), ("four", End::Whole));
    server.line_with("note: 4 bytes beyond the Content-Length were cut off");
}

#[test]
fn tasks_go_on_after_the_response_until_they_end_or_their_time_is_up() {
    let server = server(&["--timeout", "2s"]);
    for path in ["/goes-on", "/goes-on-forever", "/panics-after-the-body"] {
        let response = server.get(path);
        assert_eq!((response.status, response.text(), response.end), (200, "whole", End::Whole));
    }
    server.line_with("stdout: the response was sent: Ok(())");
    server.line_with("stdout: the handler went on");
    server.line_with("200 trap: after the response: ");
    server.line_with("200 wall-limit: after the response: the handler ran for longer than --timeout allows, the last ");
}

#[test]
fn a_handler_can_have_many_tasks_at_a_time() {
    let server = server(&[]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(server.get("/runs-many-tasks").text(), "all done"));
        }
    });
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
    let chunked = server
        .ask("POST /counts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n");
    assert_eq!((chunked.status, chunked.field("wasmserve-fault")), (413, Some("body-too-large")));
    server.line_with("stdout: ErrorCode::HttpRequestBodySize");
    assert_eq!(server.get("/counts").text(), "0");
}

#[test]
fn i5_a_client_that_leaves_in_its_body_is_not_the_handlers_fault() {
    let server = server(&[]);
    for path in ["/counts", "/echoes"] {
        let mut client = server.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello"));
        drop(client);
        server.line(|line| {
            line.contains(" bad-input: ")
                && line.ends_with(&format!("the request body ended early (POST {path} HTTP/1.1)"))
        });
    }
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
fn k10_a_handler_that_waits_ends_when_its_client_leaves() {
    let server = server(&[]);
    for path in ["/waits", "/sleeps", "/waits-for-itself"] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        drop(client);
        server.line(|line| line.contains(&format!("\"GET {path} HTTP/1.1\" 499 -")));
    }
    assert_eq!(server.get("/counts").text(), "0");
}

#[test]
fn l7_what_a_handler_prints_is_in_the_log() {
    let server = server(&[]);
    assert_eq!(server.get("/prints").text(), "Ok(())");
    server.line_with("stdout: from std");
    server.line_with("stdout: from a stream");
}

#[test]
fn p3_a_report_shows_what_a_handler_waits_for_and_where() {
    let server = server(&[]);
    let mut clock = server.connect();
    clock.send("GET /waits HTTP/1.1\r\nHost: x\r\n\r\n");
    server.ask_by(Signal::QUIT, |log| {
        log.iter().any(|line| line.contains("waiting in `wasi:clocks/monotonic-clock.wait-for` for "))
            && log.iter().any(|line| line.contains("at speaks_wasi_http_3::wait_long"))
    });
    drop(clock);
    let mut sleeper = server.connect();
    sleeper.send("GET /sleeps HTTP/1.1\r\nHost: x\r\n\r\n");
    server.ask_by(Signal::QUIT, |log| {
        log.iter().any(|line| line.contains("waiting in `wasi:io/poll.block` for "))
            && log.iter().any(|line| line.contains("at <speaks_wasi_http_3::Speaker"))
    });
    drop(sleeper);
    let mut body = server.connect();
    body.send("POST /counts HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    server.ask_by(Signal::QUIT, |log| {
        log.iter().any(|line| line.contains("waiting in `wasi:http/types.request.consume-body` for "))
    });
    body.send("hello");
    assert_eq!(body.response().text(), "5");
}

/// The port of a server that answers any request.
fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            if stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-From: upstream\r\nContent-Length: 5\r\n\r\nabove");
            }
        }
    });
    port
}

#[test]
fn requests_connections_and_lookups_are_denied_unless_granted() {
    let port = upstream();
    let denied = server(&["--allow-net", "localhost:1"]);
    assert_eq!(denied.get(&format!("/requests?127.0.0.1:{port}/")).text(), "Err(ErrorCode::HttpRequestDenied)");
    denied.line_with(&format!("note: request to 127.0.0.1:{port} denied; allow it with --allow-net 127.0.0.1:{port}"));
    assert_eq!(denied.get(&format!("/connects?{port}")).text(), "Err(ErrorCode::AccessDenied)");
    denied.line_with(&format!("note: connection to 127.0.0.1:{port} denied"));
    assert_eq!(denied.get("/looks-up?example.com").text(), "Err(ErrorCode::AccessDenied)");
    denied.line_with("note: lookup of example.com denied; allow it with --allow-net example.com:PORT");
    assert!(denied.get("/looks-up?localhost").text().starts_with("Ok("), "another name is granted");

    let granted = server(&["--allow-net", &format!("127.0.0.1:{port}")]);
    assert_eq!(granted.get(&format!("/requests?127.0.0.1:{port}/")).text(), "Ok((200, 5))");
    assert_eq!(granted.get(&format!("/connects?{port}")).text(), "Ok(())");
    let passed = granted.get(&format!("/passes-on?127.0.0.1:{port}/"));
    assert_eq!((passed.text(), passed.field("x-from"), passed.end), ("above", Some("upstream"), End::Whole));
}

#[test]
fn files_are_denied_unless_granted_and_can_be_a_body() {
    let place = Place::new();
    let text = "0123456789abcdef".repeat(1 << 16);
    place.file("big.txt", &text);
    let server = server(&["--dir", &format!("{}::/data:ro", place.display())]);
    let served = server.get("/serves?/data/big.txt");
    assert_eq!((served.status, served.end), (200, End::Whole));
    assert!(served.text() == text, "{} bytes", served.text().len());
    assert_eq!(server.get("/serves?/data/missing").text(), "ErrorCode::NoEntry");
    assert_eq!(server.get("/serves?/etc/passwd").text(), "ErrorCode::NoEntry");
    server.line_with("note: access to `/etc/passwd` denied; allow it with --dir HOST::/etc");
    assert_eq!(server.get("/serves?/data/../etc").text(), "ErrorCode::NotPermitted");
    server.line_with("note: access to `../etc` denied: it leads out of the directory that is granted");
}

#[test]
fn p19_handlers_that_compute_do_not_stop_others() {
    let server = server(&["--cpu-time", "10s"]);
    let mut spinning: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for (at, client) in spinning.iter_mut().enumerate() {
        let path = if at % 2 == 0 { "/spins" } else { "/yields-forever" };
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
    for _ in 0..50 {
        assert_eq!(server.get("/counts").text(), "0");
    }
}

#[test]
fn it_is_said_once_that_wasi_http_0_3_is_experimental() {
    let mount = format!("/again={}", guest::program("speaks_wasi_http_3").display());
    let server = server(&["--mount", &mount]);
    assert_eq!(server.get("/again/counts").text(), "0");
    let is_said = |line: &&String| line.contains("is served through wasi:http 0.3, which is experimental");
    assert_eq!(server.stop().iter().filter(is_said).count(), 1);
}

#[test]
fn a_draft_of_wasi_0_3_is_refused_with_its_name() {
    let text = "(component (instance $none) (export \"wasi:http/handler@0.3.0-rc-2026-01-06\" (instance $none)))";
    let place = Place::new();
    let file = place.file("draft.wasm", wat::parse_str(text).expect("it is a component"));
    let parts = ["`wasi:http/handler@0.3.0-rc-2026-01-06`, a draft of WASI 0.3", "wasip3"];
    refuses(Launch::file(&file), 4, &parts);
}
