//! No client can harm others, and every complete request is answered (rules T, H, I, K and X5).

mod body;
mod connection;

use std::io::Write as _;

use wasmserve_tests::{
    client::{Close, End},
    server::{Launch, Server, Shared},
};

/// Requests that are refused before a handler is called: the rule, the bytes and the status.
const REFUSED: [(&str, &[u8], u16); 38] = [
    ("T1", b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 400),
    ("T1", b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400),
    ("T1", b"GET / http/1.1\r\nHost: x\r\n\r\n", 400),
    ("T2", b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("T5", b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("T6", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
    ("T7", b"GET env HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("T7", b"GET a:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("T13", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400),
    ("T13", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 400),
    ("T13", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n", 400),
    ("T13", b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400),
    ("T13", b"GET / HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n", 400),
    ("T13", b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
    ("1.3", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("H4", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("H4", b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
    ("H4", b"GET / HTTP/1.1\r\nHost: a b/c\r\n\r\n", 400),
    ("H5", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    ("H5", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na", 400),
    ("H5", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
    ("H5", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\na", 400),
    ("H5", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n\r\na", 400),
    ("H5", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na", 400),
    ("H5", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\na", 400),
    ("H5", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\na", 400),
    ("H5", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n", 400),
    ("I7", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n", 413),
    ("I10", b"POST / HTTP/1.1\r\nHost: x\r\nExpect: weird\r\nContent-Length: 1\r\n\r\n", 417),
    ("K8", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("K8", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("K8", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
    (
        "K8",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    ("K8", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 400),
    ("K8", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("K8", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    ("1.3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ("1.3", b"GET /\x1b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
];

#[test]
fn f29_x5_refused_requests_get_a_complete_response_and_a_close() {
    let server = Server::start("dump");
    for (rule, request, status) in REFUSED {
        let shown = request.escape_ascii();
        let mut client = server.connect();
        client.send(request);
        // Bytes after a refused request must not be read as a request.
        _ = client.try_send("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.end), (status, End::Whole), "{rule}: {shown}");
        assert_eq!(response.field("Connection"), Some("close"), "{rule}: {shown}");
        assert!(response.field("Date").is_some(), "{rule}: {shown}");
        assert!(response.field("Content-Length").is_some(), "{rule}: {shown}");
        let (rest, close) = client.rest();
        assert!(rest.is_empty(), "{rule}: {shown}");
        assert_eq!(close, Close::Orderly, "{rule}: {shown}");
    }
    let log = server.stop();
    let access = log.iter().filter(|line| line.contains("- - ["));
    assert_eq!(access.count(), REFUSED.len(), "one line each: {log:#?}");
    assert!(!log.iter().any(|line| line.contains("smuggled") || line.contains(" log: ")), "{log:#?}");
}

#[test]
fn t1_no_response_is_in_http_0_9() {
    let server = Shared::program("hello");
    let mut client = server.connect();
    client.send("GET /\r\n\r\n");
    assert_eq!(client.response().status, 400);
}

#[test]
fn t3_t4_t5_targets_have_three_forms() {
    let server = Shared::program("environ");
    let variables = |request: &str| server.ask(request).text().to_owned();

    let text = variables("GET /a/../b//c;p=1?a?b=%2F HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(text.contains("PATH_INFO = \"/a/../b//c;p=1\"\nQUERY_STRING = \"a?b=%2F\"\n"), "T3, T9: {text}");

    let text = variables("GET /a%2Fb%20c%C3%A9%ff%zz%4 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(text.contains("PATH_INFO = \"/a/b c\\xc3\\xa9\\xff%zz%4\"\n"), "T10: {text}");

    let response = server.ask(b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(response.text().contains("PATH_INFO = \"/caf\\xc3\\xa9\"\n"), "T11: {response:?}");

    let text = variables("GET http://other:99/p?q=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(text.contains("PATH_INFO = \"/p\"\n") && text.contains("HTTP_HOST = \"other:99\"\n"), "T4: {text}");
    assert!(text.contains("REQUEST_URI = \"http://other:99/p?q=1\"\n"), "E11: {text}");

    let response = server.ask("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((response.status, response.field("Content-Length")), (200, Some("0")), "T5");
    assert!(response.field("Allow").is_some(), "T5");
}

#[test]
fn t12_heads_have_limits() {
    let server = Server::start("hello");
    let ask = |target: &str, fields: &str| server.ask(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    assert_eq!(ask(&format!("/{}", "a".repeat(8000)), "").status, 200);
    assert_eq!(ask(&format!("/{}", "a".repeat(8192)), "").status, 414);
    assert_eq!(ask("/", &"A: b\r\n".repeat(99)).status, 200);
    assert_eq!(ask("/", &"A: b\r\n".repeat(100)).status, 431);
    assert_eq!(ask("/", &format!("A: {}\r\n", "b".repeat(30 << 10))).status, 200);

    // Far beyond the limit, from a client that sends everything before it reads.
    for (target, fields) in [("/", format!("A: {}\r\n", "b".repeat(200 << 10))), ("/", "A: b\r\n".repeat(100_000))] {
        let mut client = server.connect();
        _ = client.try_send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.end), (431, End::Whole));
        assert_eq!(response.field("Connection"), Some("close"));
    }

    let server = Launch::program("hello").flags(["--max-head", "1KiB"]).start();
    assert_eq!(server.get(&format!("/{}", "a".repeat(900))).status, 200);
    let response = server.get(&format!("/{}", "a".repeat(1100)));
    assert_eq!((response.status, response.field("Connection")), (431, Some("close")));
}

#[test]
fn t13_bare_line_feeds_and_empty_lines_are_accepted() {
    let server = Shared::program("hello");
    assert_eq!(server.ask("GET / HTTP/1.1\nHost: x\n\n").status, 200);
    assert_eq!(server.ask("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
}

#[test]
fn h4_http_1_0_needs_no_host() {
    let server = Shared::program("environ");
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(response.text().contains("SERVER_PROTOCOL = \"HTTP/1.0\""), "E5");
    assert!(!response.text().contains("HTTP_HOST"));
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let server = Server::start("echo");
    let client = server.connect();
    let mut sender = client.sender();
    for byte in b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" {
        sender.write_all(&[*byte]).expect("the server accepts it");
    }
    let mut client = client;
    assert_eq!(client.response().text(), "hello");
}
