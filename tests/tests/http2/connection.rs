//! How HTTP/2 connections begin and end.

use rustix::process::Signal;
use wasmserve_tests::{
    client::Close,
    http2::{END_STREAM, End, Http2, PREFACE, code, fields, frame, headers, kind},
    server::{Launch, Server, Shared},
};

use super::{connect, with};

#[test]
fn k12_a_stopping_server_sends_goaway_and_finishes_running_streams() {
    let server = Server::start("reads_input");
    let (mut idle, mut client) = (connect(&server), connect(&server));
    assert_eq!(idle.get("/").status, 200);
    let stream = client.begin(&fields("POST", "/eager"));
    assert_eq!(client.piece(stream).as_deref(), Some(&b"reading\n"[..]));
    server.signal(Signal::TERM);
    assert_eq!(client.go_away().code, code::NO_ERROR);
    let (goaway, close) = idle.closed();
    assert_eq!((goaway.map(|goaway| goaway.code), close), (Some(code::NO_ERROR), Close::Orderly));
    client.last(stream, "hello");
    let response = client.response(stream);
    assert_eq!((response.text(), response.end), ("5 octets, trailers []\n", End::Whole));
    let (goaway, close) = client.closed();
    assert_eq!(
        (goaway.map(|goaway| (goaway.last, goaway.code)), close),
        (Some((stream, code::NO_ERROR)), Close::Orderly)
    );
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("\"POST /eager HTTP/2\" 200 -")), "{log:#?}");
}

#[test]
fn the_preface_may_arrive_byte_by_byte() {
    let server = Shared::program("hello");
    let mut client = Http2::silent(server.addr());
    for byte in PREFACE {
        client.send([*byte]);
    }
    for byte in frame(kind::SETTINGS, 0, 0, b"") {
        client.send([byte]);
    }
    for byte in headers(1, &fields("GET", "/"), END_STREAM) {
        client.send([byte]);
    }
    let response = client.response(1);
    assert_eq!((response.status, response.text()), (200, "Hello, World!\n"));
}

#[test]
fn a_request_that_only_begins_like_the_preface_is_answered_as_http1() {
    let server = Server::start("dump");
    let mut client = server.connect();
    client.send("PRI");
    client.send(" /x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().text(), "PRI /x HTTP/1.1\r\nHost: x\r\n\r\n", "PRI is an ordinary method");

    for wrong in ["PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\n\n\n\n", "PRI * HTTP/2.1\r\n\r\n"]
    {
        let mut client = server.connect();
        client.send(wrong);
        assert_eq!(client.response().status, 400, "{wrong:?}");
        assert_eq!(client.rest(), (Vec::new(), Close::Orderly), "{wrong:?}");
    }
    // SETTINGS must follow the preface (RFC 9113 section 3.4).
    let mut client = Http2::silent(server.addr());
    client.send([PREFACE, b"GET / HTTP/1.1\r\n\r\n"].concat());
    _ = client.closed();
    assert_eq!(server.get("/").status, 200);
    assert!(!server.stop().iter().any(|line| line.contains("HTTP/2.0\" 200")));
}

#[test]
fn lint_covers_http2() {
    let server = Launch::program("ignores_input").flags(["--lint"]).start();
    let mut client = connect(&server);
    let stream = client.ask(&with("POST", "/", &[("content-type", "a/b"), ("accept", "*/*")]));
    assert_eq!(client.response(stream).status, 200);
    let stream = client.ask(&with("get", "/%zz", &[("user-agent", "a"), ("user-agent", "b"), ("proxy", "x")]));
    assert_eq!(client.response(stream).status, 200);
    drop(client);
    let log = server.stop();
    let found = |exchange: u32| {
        let prefix = format!("[{exchange}] lint: ");
        let lines = log.iter().filter_map(|line| line.strip_prefix(&prefix));
        lines.map(|line| line[line.rfind('(').expect("a clause")..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(1), [""; 0], "an ordinary request: {log:#?}");
    assert_eq!(
        found(2),
        ["(RFC 9110 section 9.1)", "(RFC 3986 section 2.1)", "(RFC 9110 section 5.3)", "(CVE-2016-5385)"]
    );
}
