//! Connections: which ones stay open, and what happens when a client disconnects.

use std::time::Duration;

use socket2::SockRef;
use wasmserve_tests::{
    client::{Client, Close, End},
    server::{Launch, Server, Shared},
};

#[test]
fn k1_k2_the_client_decides_whether_a_connection_stays_open() {
    let server = Shared::program("hello");
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
fn k2_an_http_1_0_client_gets_close_when_the_connection_closes() {
    let keep = "HTTP/1.0\r\nConnection: keep-alive\r\n";
    let says_close = |guest: &str, request: String, status: u16| {
        let server = Server::start(guest);
        let mut client = server.connect();
        client.send(&request);
        let response = client.response();
        assert_eq!((response.status, response.field("Connection")), (status, Some("close")), "{request}");
        assert_eq!(client.rest(), (Vec::new(), Close::Orderly), "{request}");
    };
    // No length, a fault, a body that is not read, and a body that is refused.
    says_close("echo", format!("POST / {keep}Content-Length: 5\r\n\r\nhello"), 200);
    says_close("hello", format!("GET * {keep}\r\n"), 400);
    says_close("ignores_input", format!("POST / {keep}Content-Length: 1000000\r\n\r\n"), 200);
    says_close("hello", format!("POST / {keep}Content-Length: 1000000000\r\n\r\n"), 413);
}

#[test]
fn k13_a_kept_connection_says_for_how_long() {
    let server = Server::start("hello");
    let said = |request: &str| {
        let response = server.ask(request);
        assert_eq!(response.status, 200, "{request:?}");
        response.field("Keep-Alive").map(ToOwned::to_owned)
    };
    let (keep, close) = ("Connection: keep-alive\r\n\r\n", "Connection: close\r\n\r\n");
    assert_eq!(said("GET / HTTP/1.1\r\nHost: x\r\n\r\n").as_deref(), Some("timeout=15"));
    assert_eq!(said(&format!("GET / HTTP/1.1\r\nHost: x\r\n{keep}")).as_deref(), Some("timeout=15"));
    assert_eq!(said(&format!("GET / HTTP/1.0\r\n{keep}")).as_deref(), Some("timeout=15"));
    assert_eq!(said(&format!("GET / HTTP/1.1\r\nHost: x\r\n{close}")), None);
    assert_eq!(said("GET / HTTP/1.0\r\n\r\n"), None);
    let refused = server.ask("GET / HTTP/1.1\r\n\r\n");
    assert_eq!((refused.status, refused.field("Keep-Alive")), (400, None), "a refusal closes the connection");

    for (flags, expected) in [
        (["--keep-alive", "90s"], Some("timeout=90")),
        (["--keep-alive", "1500ms"], Some("timeout=1")),
        (["--keep-alive", "500ms"], None),
        (["--requests", "1"], None),
    ] {
        let server = Launch::program("hello").flags(flags).start();
        assert_eq!(server.get("/").field("Keep-Alive"), expected, "{flags:?}");
    }
    // The response to HEAD has it too, and a response without an end does not.
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to_head().field("Keep-Alive"), Some("timeout=15"));
    let endless = Server::start("echo").ask(format!("POST / HTTP/1.0\r\nContent-Length: 1\r\n{keep}a"));
    assert_eq!((endless.status, endless.field("Keep-Alive")), (200, None), "it ends with its connection");
}

#[test]
fn k3_pipelined_requests_are_answered_in_order() {
    let server = Shared::program("echo");
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
fn k5_the_next_request_after_an_unread_body_is_served() {
    let server = Shared::program("ignores_input");
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
fn k5_after_a_long_unread_body_the_response_arrives_and_the_connection_closes() {
    let server = Server::start("ignores_input");
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 3 << 20));
    // The server may close before it has received everything.
    _ = client.try_send(vec![b'x'; 3 << 20]);
    let response = client.response();
    assert_eq!((response.status, response.text(), response.end), (200, "ignored", End::Whole));
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    assert_eq!(response.field("Connection"), Some("close"));
}

#[test]
fn k5_the_close_is_announced_even_if_the_handler_is_slow() {
    let server = Server::start("ignores_input");
    // The handler of `/slowly` computes for long enough to be moved to the slow lane.
    let mut client = server.connect();
    client.send(format!("POST /slowly HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 3 << 20));
    let response = client.response();
    assert_eq!((response.status, response.text(), response.end), (200, "ignored", End::Whole));
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
}

#[test]
fn a_client_that_sends_data_after_a_refused_tunnel_reads_the_response() {
    let server = Shared::program("hello");
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n";
    for (request, status) in [("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501), (upgrade, 200)] {
        let mut client = server.connect();
        client.send(request);
        _ = client.try_send(vec![b'x'; 1 << 20]);
        let response = client.response();
        assert_eq!((response.status, response.end), (status, End::Whole));
        assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    }
    // Data after it that hyper cannot parse is refused as usual.
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n\0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400);
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    // After an ignored upgrade the connection stays open.
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().status, 200);
    _ = client.try_send(vec![b'x'; 1 << 20]);
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
}

#[test]
fn k6_an_unread_body_is_never_parsed_as_a_request() {
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
        // An announced close would be correct too.
        if let Some(response) = client.try_response() {
            assert_eq!(response.text(), "ignored");
        }
        assert_eq!(client.rest().0, b"");
    }
    assert!(!server.stop().iter().any(|line| line.contains("smuggled")));
}

#[test]
fn k7_a_request_with_two_lengths_is_the_last_on_its_connection() {
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
fn k9_a_half_closed_client_is_answered() {
    let server = Shared::program("reads_input");
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
fn k10_a_disconnect_during_the_response_reaches_the_handler_and_is_logged_as_499() {
    let server = Server::start("downloads");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head().expect("a response head");
    assert_eq!(client.body(&head).next().map(|chunk| chunk.len()), Some(64 << 10));
    drop(client);
    server.line_with("\"GET / HTTP/1.1\" 499 -");
    server.line_with("[1] log: sent less than asked for: the client is gone");
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains(" 500 ")), "a disconnect is not a handler's fault: {log:#?}");
}

/// A client in the middle of a response whose handler no longer reads or writes.
fn waiting(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().expect("a response head").status, 200);
    client
}

#[test]
fn f27_k10_a_reset_is_noticed_while_the_handler_does_no_io() {
    for program in ["spins", "sleeps"] {
        let server = Launch::program(program).flags(["--timeout", "1h"]).start();
        let client = waiting(&server);
        // A reset, as from a process that exits with unread data.
        SockRef::from(&client.sender()).set_linger(Some(Duration::ZERO)).expect("the socket accepts the option");
        drop(client);
        server.line_with("\"GET /late HTTP/1.1\" 499 -");
        assert_eq!(server.get("/fine").status, 200);
    }
}

#[test]
fn f27_k10_a_close_before_the_response_is_noticed() {
    for program in ["spins", "sleeps"] {
        let server = Launch::program(program).flags(["--timeout", "1h", "--cpu-time", "1h"]).start();
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        // As after Ctrl-C. Nothing is unread, so this looks like the half-close of a client that still waits.
        drop(client);
        server.line_with("\"GET / HTTP/1.1\" 499 -");
        assert_eq!(server.get("/fine").status, 200);
    }
}

#[test]
fn k9_a_half_closed_client_is_probed_with_102_and_answered() {
    let server = Server::start("drips");
    for (version, asked) in [("1.1", "HTTP/1.1 102 Processing\r\n\r\n"), ("1.0", "")] {
        let mut client = server.connect();
        client.send(format!("GET /?n=1&ms=700 HTTP/{version}\r\nHost: x\r\n\r\n"));
        client.end();
        let (bytes, close) = client.rest();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with(&format!("{asked}HTTP/{version} 200 OK\r\n")), "{text}");
        assert_eq!(close, Close::Orderly);
    }
}

#[test]
fn k9_a_client_that_half_closes_during_its_response_gets_the_rest_and_then_a_close() {
    let server = Server::start("drips");
    let mut client = server.connect();
    client.send("GET /?n=3&ms=50 HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head().expect("a response head");
    client.end();
    let body: Vec<u8> = client.body(&head).flatten().collect();
    assert_eq!(String::from_utf8_lossy(&body), "line 1 of 3\nline 2 of 3\nline 3 of 3\n");
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
}

#[test]
fn k11_a_client_that_waits_for_its_response_is_not_idle() {
    for flags in [&["--keep-alive", "100ms"][..], &["--keep-alive", "100ms", "--abort-on-half-close"]] {
        let server = Launch::program("drips").flags(flags).start();
        let response = server.get("/?n=1&ms=500");
        assert_eq!((response.status, response.end), (200, End::Whole), "{flags:?}");
    }
}
