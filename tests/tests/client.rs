//! Whatever a client does, nobody else is harmed, and a request that is whole is answered (rules T, H, I, K and X5).

use std::{io::Write as _, time::Duration};

use socket2::SockRef;
use wasmserve_tests::{
    client::{Client, Close, End},
    server::{Launch, Server},
};

/// Requests that are refused before a handler sees them: the rule, the octets, the status.
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
fn x5_refused_requests_get_a_whole_answer_and_the_connection_is_closed() {
    let server = Server::start("dump");
    for (rule, request, status) in REFUSED {
        let shown = request.escape_ascii();
        let mut client = server.connect();
        client.send(request);
        // What follows a request that is in doubt is not a request.
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
fn t1_nothing_is_answered_in_the_style_of_http_0_9() {
    let server = Server::start("hello");
    let mut client = server.connect();
    client.send("GET /\r\n\r\n");
    assert_eq!(client.response().status, 400);
}

#[test]
fn t3_t4_t5_targets_have_three_forms() {
    let server = Server::start("environ");
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

    // Much more than the limit, and a client that sends it all before it listens.
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
fn t13_bare_line_feeds_and_empty_lines_are_taken() {
    let server = Server::start("hello");
    assert_eq!(server.ask("GET / HTTP/1.1\nHost: x\n\n").status, 200);
    assert_eq!(server.ask("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
}

#[test]
fn h4_http_1_0_needs_no_host() {
    let server = Server::start("environ");
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(response.text().contains("SERVER_PROTOCOL = \"HTTP/1.0\""), "E5");
    assert!(!response.text().contains("HTTP_HOST"));
}

#[test]
fn k1_k2_a_connection_stays_open_as_the_client_wants() {
    let server = Server::start("hello");
    let closes = |request: &str| {
        let mut client = server.connect();
        client.send(request);
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "Hello, World!\n"));
        let field = response.field("Connection").map(str::to_ascii_lowercase);
        if field.as_deref() == Some("close") || response.version == "HTTP/1.0" && field.is_none() {
            assert_eq!(client.rest(), (Vec::new(), Close::Orderly), "{request:?}");
            return true;
        }
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status, 200, "{request:?}");
        false
    };
    assert!(!closes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "K1");
    assert!(closes("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "K1");
    assert!(closes("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, CLOSE\r\n\r\n"), "K1");
    assert!(closes("GET / HTTP/1.0\r\n\r\n"), "K2");
    assert!(!closes("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "K2");
}

#[test]
fn k2_a_client_of_http_1_0_is_not_promised_what_is_not_kept() {
    let keep = "HTTP/1.0\r\nConnection: keep-alive\r\n";
    let says_close = |guest: &str, request: String, status: u16| {
        let server = Server::start(guest);
        let mut client = server.connect();
        client.send(&request);
        let response = client.response();
        assert_eq!((response.status, response.field("Connection")), (status, Some("close")), "{request}");
        assert_eq!(client.rest(), (Vec::new(), Close::Orderly), "{request}");
    };
    // No length, a fault, a body that nobody wants to read, and one that is refused.
    says_close("echo", format!("POST / {keep}Content-Length: 5\r\n\r\nhello"), 200);
    says_close("hello", format!("GET * {keep}\r\n"), 400);
    says_close("ignores_input", format!("POST / {keep}Content-Length: 1000000\r\n\r\n"), 200);
    says_close("hello", format!("POST / {keep}Content-Length: 1000000000\r\n\r\n"), 413);
}

#[test]
fn k3_pipelined_requests_are_answered_in_order() {
    let server = Server::start("echo");
    let mut client = server.connect();
    let requests: String = (0..20)
        .map(|number| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n{number:04}"))
        .chain(["POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0020\r\n0\r\n\r\n".to_owned()])
        .chain(["GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()])
        .collect();
    client.send(requests);
    for number in 0..=20 {
        assert_eq!(client.response().text(), format!("{number:04}"));
    }
    assert_eq!(client.response().text(), "");
}

#[test]
fn k5_the_next_request_after_a_body_that_nobody_read_is_served() {
    let server = Server::start("ignores_input");
    let mut client = server.connect();
    for length in [0, 10, 100_000] {
        let body = "x".repeat(length);
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"));
        let response = client.response();
        assert_eq!((response.status, response.text(), response.end), (200, "ignored", End::Whole), "{length}");
        assert_eq!(response.field("Connection"), None, "{length}");
    }
}

#[test]
fn k5_after_a_long_body_that_nobody_read_the_connection_closes_and_the_answer_arrives() {
    let server = Server::start("ignores_input");
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 3 << 20));
    // The server is done with it before it has all.
    _ = client.try_send(vec![b'x'; 3 << 20]);
    let response = client.response();
    assert_eq!((response.status, response.text(), response.end), (200, "ignored", End::Whole));
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    assert_eq!(response.field("Connection"), Some("close"));
}

#[test]
fn k5_the_client_is_told_of_that_even_by_a_handler_that_takes_its_time() {
    let server = Server::start("ignores_input");
    // The first `/slowly` has computed for long enough to be moved to the slow lane.
    let mut client = server.connect();
    client.send(format!("POST /slowly HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 3 << 20));
    let response = client.response();
    assert_eq!((response.status, response.text(), response.end), (200, "ignored", End::Whole));
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
}

#[test]
fn a_client_that_sends_on_behind_what_is_no_tunnel_reads_the_answer() {
    let server = Server::start("hello");
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n";
    for (request, status) in [("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501), (upgrade, 200)] {
        let mut client = server.connect();
        client.send(request);
        _ = client.try_send(vec![b'x'; 1 << 20]);
        let response = client.response();
        assert_eq!((response.status, response.end), (status, End::Whole));
        assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    }
    // What hyper cannot read behind it is refused as always.
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n\0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400);
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    // With an upgrade that nobody wants the connection goes on.
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().status, 200);
    _ = client.try_send(vec![b'x'; 1 << 20]);
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
}

#[test]
fn k6_a_body_that_nobody_read_is_never_taken_for_a_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let bodies = [
        format!("Content-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()),
    ];
    let server = Server::start("ignores_input");
    for body in bodies {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{body}{last}"));
        assert_eq!(client.response().text(), "ignored");
        // Closing instead would be right as well, if it was said.
        if let Some(response) = client.try_response() {
            assert_eq!(response.text(), "ignored");
        }
        assert_eq!(client.rest().0, b"");
    }
    assert!(!server.stop().iter().any(|line| line.contains("smuggled")));
}

#[test]
fn k7_a_request_with_two_lengths_is_the_last_of_its_connection() {
    let server = Server::start("environ");
    let mut client = server.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled \
         HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    let response = client.response();
    if response.status == 200 {
        assert!(!response.text().contains("CONTENT_LENGTH"), "{response:?}");
    } else {
        assert_eq!(response.status, 400);
    }
    assert_eq!(client.rest().0, b"", "no second answer");
    assert!(!server.stop().iter().any(|line| line.contains("smuggled")));
}

#[test]
fn k9_a_client_that_ends_its_side_is_answered() {
    let server = Server::start("reads_input");
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        let mut client = server.connect();
        client.send(request);
        client.end();
        let response = client.response();
        assert_eq!(response.status, 200, "{request:?}");
        assert!(response.text().contains("trailers []"), "{request:?}: {}", response.text());
        assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    }
}

#[test]
fn k10_when_the_client_leaves_during_its_response_the_handler_is_told_and_the_log_has_a_499() {
    let server = Server::start("downloads");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head().expect("it begins");
    assert_eq!(client.body(&head).next().map(|chunk| chunk.len()), Some(64 << 10));
    drop(client);
    server.line_with("\"GET / HTTP/1.1\" 499 -");
    server.line_with("[1] log: sent less than asked for: the client is gone");
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains(" 500 ")), "it is not the handler's fault: {log:#?}");
}

/// A client that has begun to receive the response of a handler that neither writes nor reads any more.
fn waiting(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().expect("it begins").status, 200);
    client
}

#[test]
fn h27_k10_a_client_that_is_gone_is_seen_though_the_handler_does_nothing_for_it() {
    for program in ["spins", "sleeps"] {
        let server = Launch::program(program).flags(["--timeout", "1h"]).start();
        let client = waiting(&server);
        // As when a process ends that has not read all: a reset.
        SockRef::from(&client.sender()).set_linger(Some(Duration::ZERO)).expect("a socket can be that");
        drop(client);
        server.line_with("\"GET /late HTTP/1.1\" 499 -");
        assert_eq!(server.get("/fine").status, 200);
    }
}

#[test]
fn h27_k10_a_client_that_closes_while_the_handler_has_said_nothing_is_seen() {
    for program in ["spins", "sleeps"] {
        let server = Launch::program(program).flags(["--timeout", "1h", "--cpu-time", "1h"]).start();
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        // As Ctrl-C does it: nothing is left to read, so that the end looks like that of a client which still waits.
        drop(client);
        server.line_with("\"GET / HTTP/1.1\" 499 -");
        assert_eq!(server.get("/fine").status, 200);
    }
}

#[test]
fn k9_a_client_that_has_ended_its_side_is_asked_whether_it_still_waits_and_answered() {
    let server = Server::start("drips");
    for (version, asked) in [("1.1", "HTTP/1.1 102 Processing\r\n\r\n"), ("1.0", "")] {
        let mut client = server.connect();
        client.send(format!("GET /?n=1&ms=700 HTTP/{version}\r\nHost: x\r\n\r\n"));
        client.end();
        let (octets, close) = client.rest();
        let text = String::from_utf8_lossy(&octets);
        assert!(text.starts_with(&format!("{asked}HTTP/{version} 200 OK\r\n")), "{text}");
        assert_eq!(close, Close::Orderly);
    }
}

#[test]
fn k9_a_client_that_has_only_ended_its_side_gets_the_end_of_its_response_and_then_the_connection_ends() {
    let server = Server::start("drips");
    let mut client = server.connect();
    client.send("GET /?n=3&ms=50 HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head().expect("it begins");
    client.end();
    let body: Vec<u8> = client.body(&head).flatten().collect();
    assert_eq!(String::from_utf8_lossy(&body), "line 1 of 3\nline 2 of 3\nline 3 of 3\n");
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
}

#[test]
fn k11_a_client_that_waits_for_its_answer_is_not_idle_however_its_half_close_is_taken() {
    for flags in [&["--keep-alive", "100ms"][..], &["--keep-alive", "100ms", "--abort-on-half-close"]] {
        let server = Launch::program("drips").flags(flags).start();
        let response = server.get("/?n=1&ms=500");
        assert_eq!((response.status, response.end), (200, End::Whole), "{flags:?}");
    }
}

#[test]
fn i1_i4_a_body_in_chunks_arrives_with_its_trailers_and_without_its_framing() {
    let server = Server::start("reads_input");
    let chunks = "5;a=\"b\"\r\nhello\r\n06\r\n world\r\n0\r\nX-Sum: 7\r\nHost: evil\r\nContent-Length: 9\r\n\r\n";
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let text = server.ask(format!("{head}{chunks}")).text().to_ascii_lowercase();
    assert_eq!(text, "11 octets, trailers [(\"x-sum\", \"7\")]\n");
}

#[test]
fn i5_a_body_that_was_cut_short_has_no_end_for_the_handler() {
    let bodies = [
        ("Content-Length: 10\r\n\r\nhello", 5),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 5),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", 5),
        ("Content-Length: 10\r\n\r\n", 0),
    ];
    let server = Server::start("reads_input");
    for (exchange, (body, length)) in bodies.into_iter().enumerate() {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{body}"));
        client.end();
        let exchange = exchange + 1;
        server.line_with(&format!("[{exchange}] log: read failed after {length} octets: the client went away"));
        // K9: whoever only ended its side can be told.
        assert_eq!(client.response().status, 400, "I6: {body:?}");
        server.line_with(&format!("[{exchange}] 400 bad-input: "));
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn i5_a_client_that_leaves_during_its_upload_leaves_nothing_behind() {
    let server = Server::start("reads_input");
    let mut client = server.connect();
    client.send("POST /eager HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    let head = client.head().expect("it begins");
    assert_eq!(client.body(&head).next().as_deref(), Some(&b"reading\n"[..]));
    drop(client);
    server.line_with("[1] log: read failed after 5 octets: the client went away");
    server.line_with("\"POST /eager HTTP/1.1\"");
    server.stop();
}

#[test]
fn i6_a_body_with_broken_chunks_is_an_error_and_the_last_of_its_connection() {
    let bodies: [&[u8]; 9] = [
        b"x\r\nhello\r\n0\r\n\r\n",
        b"-1\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
    ];
    let server = Server::start("reads_input");
    for (path, expected) in [("/", 400), ("/stubborn", 200)] {
        for body in bodies {
            let mut client = server.connect();
            client.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
            client.send([body, b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"].concat());
            let response = client.response();
            assert_eq!((response.status, response.end), (expected, End::Whole), "{}", body.escape_ascii());
            assert_eq!(client.rest().0, b"", "{}", body.escape_ascii());
        }
    }
    let log = server.stop();
    assert_eq!(log.iter().filter(|line| line.contains("log: read failed after ")).count(), 18, "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("smuggled")), "{log:#?}");
}

#[test]
fn i7_a_body_that_is_too_long_is_a_413_and_the_answer_arrives() {
    let server = Launch::program("reads_input").flags(["--max-body", "1KiB"]).start();
    let post = |body: String| server.ask(format!("POST / HTTP/1.1\r\nHost: x\r\n{body}"));
    assert_eq!(post(format!("Content-Length: 1024\r\n\r\n{}", "x".repeat(1024))).status, 200);
    let chunked =
        |length| format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length));
    assert_eq!(post(chunked(1024)).status, 200);

    let response = post(chunked(1025));
    assert_eq!((response.status, response.field("Connection")), (413, Some("close")));
    server.line(|line| {
        line.starts_with("[3] log: read failed after ")
            && line.ends_with("octets: the request's body is longer than the host allows")
    });
    server.line_with("[3] 413 body-too-large: ");

    // A client that goes on sending, and listens only then.
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 2 << 20));
    _ = client.try_send(vec![b'x'; 2 << 20]);
    let response = client.response();
    assert_eq!((response.status, response.end), (413, End::Whole));
    assert_eq!(response.text(), "413 Payload Too Large: the request body is too large (exchange 4)\n");
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    let log = server.stop();
    assert!(!log.iter().any(|line| line.starts_with("[4] log:")), "no handler has seen it: {log:#?}");
}

#[test]
fn i9_a_client_that_waits_is_told_to_go_on_once_and_only_if_somebody_reads() {
    let server = Server::start("reads_input");
    for expect in ["100-continue", "100-Continue"] {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nExpect: {expect}\r\nContent-Length: 5\r\n\r\n"));
        assert_eq!(client.head().expect("an interim response").status, 100);
        client.send("hello");
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "5 octets, trailers []\n"), "exactly one");
    }
    // Without a body, and in HTTP/1.0, there is nothing to wait for.
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let mut client = server.connect();
    client.send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().status, 200);

    let server = Server::start("ignores_input");
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text(), response.end), (200, "ignored", End::Whole));
}

#[test]
fn i11_a_client_that_still_waits_when_it_is_answered_is_told_that_the_connection_closes() {
    let server = Server::start("ignores_input");
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().field("Connection"), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
}

#[test]
fn c1_connections_that_say_nothing_more_are_closed() {
    let server = Server::start("hello");
    let whole = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut clients = ["", "G", "GET / HTTP/1.1\r\nHost: x\r\n", whole].map(|begun| {
        let mut client = server.connect();
        client.send(begun);
        client
    });
    assert_eq!(clients[3].response().status, 200);
    for client in &mut clients {
        assert_eq!(client.rest().1, Close::Orderly);
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_request_may_come_octet_by_octet() {
    let server = Server::start("echo");
    let client = server.connect();
    let mut sender = client.sender();
    for octet in b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" {
        sender.write_all(&[*octet]).expect("the server takes it");
    }
    let mut client = client;
    assert_eq!(client.response().text(), "hello");
}
