//! Request bodies: framing, ends and limits.

use wasmserve_tests::{
    client::{Close, End},
    server::{Launch, Server, Shared},
};

#[test]
fn i1_i4_a_chunked_body_arrives_with_its_trailers_and_without_its_framing() {
    let server = Shared::program("reads_input");
    let chunks = "5;a=\"b\"\r\nhello\r\n06\r\n world\r\n0\r\nX-Sum: 7\r\nHost: evil\r\nContent-Length: 9\r\n\r\n";
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let text = server.ask(format!("{head}{chunks}")).text().to_ascii_lowercase();
    assert_eq!(text, "11 octets, trailers [(\"x-sum\", \"7\")]\n");
}

#[test]
fn f30_i5_a_truncated_body_never_ends_cleanly_for_the_handler() {
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
        // K9: a client that ended only its side can read the response.
        assert_eq!(client.response().status, 400, "I6: {body:?}");
        server.line_with(&format!("[{exchange}] 400 bad-input: "));
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn i5_a_client_that_disconnects_during_its_upload_leaves_nothing_behind() {
    let server = Server::start("reads_input");
    let mut client = server.connect();
    client.send("POST /eager HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    let head = client.head().expect("a response head");
    assert_eq!(client.body(&head).next().as_deref(), Some(&b"reading\n"[..]));
    drop(client);
    server.line_with("[1] log: read failed after 5 octets: the client went away");
    server.line_with("\"POST /eager HTTP/1.1\"");
    server.stop();
}

#[test]
fn i6_a_body_with_malformed_chunks_is_an_error_and_closes_the_connection() {
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
fn f31_i7_a_body_over_the_limit_is_a_413_that_reaches_the_client() {
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
            && line.ends_with("octets: the request body is longer than the host allows")
    });
    server.line_with("[3] 413 body-too-large: ");

    // A client that sends everything before it reads.
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 2 << 20));
    _ = client.try_send(vec![b'x'; 2 << 20]);
    let response = client.response();
    assert_eq!((response.status, response.end), (413, End::Whole));
    assert_eq!(response.text(), "413 Payload Too Large: the request body is too large (exchange 4)\n");
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
    drop(client);
    let log = server.stop();
    assert!(!log.iter().any(|line| line.starts_with("[4] log:")), "no handler was called: {log:#?}");
}

#[test]
fn i9_expect_continue_is_sent_once_and_only_when_the_body_is_read() {
    let server = Shared::program("reads_input");
    for expect in ["100-continue", "100-Continue"] {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nExpect: {expect}\r\nContent-Length: 5\r\n\r\n"));
        assert_eq!(client.head().expect("an interim response").status, 100);
        client.send("hello");
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "5 octets, trailers []\n"), "100 Continue comes once");
    }
    // Without a body, and in HTTP/1.0, there is nothing to wait for.
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let mut client = server.connect();
    client.send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().status, 200);

    let server = Shared::program("ignores_input");
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text(), response.end), (200, "ignored", End::Whole));
}

#[test]
fn i11_a_response_before_100_continue_closes_the_connection() {
    let server = Shared::program("ignores_input");
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().field("Connection"), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
}
