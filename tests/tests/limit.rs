//! Limits for request heads and for waiting, each with its flag.

use wasmserve_tests::{
    client::{Client, Close},
    server::{Launch, Server},
};

fn server(flags: &[&str]) -> Server {
    Launch::program("reads_input").flags(flags).start()
}

/// Checks that the server still works.
fn serves(server: &Server) {
    assert_eq!(server.get("/").status, 200);
}

/// Checks that the server closes the connection without a response.
fn is_closed(mut client: Client) {
    assert_eq!(client.rest(), (Vec::new(), Close::Orderly));
}

/// Checks that the server answers with a 408 and closes the connection.
fn is_refused(mut client: Client) {
    let refused = client.response();
    assert_eq!((refused.status, refused.field("connection")), (408, Some("close")));
    is_closed(client);
}

#[test]
fn none_lifts_the_time_limits() {
    let flags =
        ["timeout", "cpu-time", "head-timeout", "body-timeout", "write-timeout", "keep-alive", "queue-wait", "drain"];
    let flags = flags.map(|flag| format!("--{flag}=none"));
    let server = Launch::program("drips").flags(flags).flags(["--max-body", "none", "--ttl", "none"]).start();
    let mut client = server.connect();
    client.send("POST /?n=3&ms=50 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text().lines().count()), (200, 3));
    assert_eq!(response.field("Keep-Alive"), None, "there is no timeout to tell");
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n");
    assert_ne!(client.head().expect("a response head").status, 413);
    server.signal(rustix::process::Signal::TERM);
    drop(client);
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn t12_a_target_beyond_max_target_is_414() {
    let server = server(&["--max-target", "1KiB"]);
    assert_eq!(server.get(&format!("/{}", "a".repeat(1023))).status, 200);
    let refused = server.get(&format!("/{}", "a".repeat(1024)));
    assert_eq!((refused.status, refused.field("connection")), (414, Some("close")));
    serves(&server);
}

#[test]
fn t12_fields_beyond_max_fields_are_431() {
    let server = server(&["--max-fields", "3"]);
    let ask = |fields: &str| server.ask(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    assert_eq!(ask("A: 1\r\nB: 2\r\n").status, 200);
    let refused = ask("A: 1\r\nB: 2\r\nC: 3\r\n");
    assert_eq!((refused.status, refused.field("connection")), (431, Some("close")));
    serves(&server);
}

#[test]
fn t12_max_fields_may_exceed_the_parsers_default() {
    let server = server(&["--max-fields", "500"]);
    let fields: String = (0..400).map(|number| format!("A{number}: 1\r\n")).collect();
    assert_eq!(server.ask(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")).status, 200);
}

#[test]
fn c1_a_silent_client_is_closed() {
    let server = server(&["--head-timeout", "300ms", "--keep-alive", "1h"]);
    is_closed(server.connect());
    serves(&server);
    assert_eq!(server.stop().len(), 2, "only the start and one request are logged");
}

#[test]
fn c1_an_incomplete_head_times_out() {
    let server = server(&["--head-timeout", "300ms", "--keep-alive", "1h"]);
    for begun in ["G", "GET /slow HTTP/1.1\r\nHost: te"] {
        let mut client = server.connect();
        client.send(begun);
        is_refused(client);
    }
    server.line_with("408 refused: the request head took longer than --head-timeout allows (GET /slow HTTP/1.1)");
    // Without the beginning of a head there is nothing to answer.
    for begun in ["\r\n", "PRI * HTTP/2.0\r\n"] {
        let mut client = server.connect();
        client.send(begun);
        is_closed(client);
    }
    serves(&server);
}

#[test]
fn c1_the_head_of_a_later_request_has_its_own_timeout() {
    let server = server(&["--head-timeout", "300ms", "--keep-alive", "1h"]);
    let mut client = server.connect();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    client.send("GET /late HTTP/1.1\r\n");
    is_refused(client);
    server.line_with("408 refused: the request head took longer than --head-timeout allows (GET /late HTTP/1.1)");
    serves(&server);
}

#[test]
fn k11_an_idle_connection_is_closed_after_keep_alive() {
    let server = server(&["--head-timeout", "1h", "--keep-alive", "300ms"]);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().text(), "5 octets, trailers []\n");
    is_closed(client);
    serves(&server);
}

#[test]
fn k11_a_connection_with_a_slow_handler_is_not_idle() {
    let server = server(&["--head-timeout", "300ms", "--keep-alive", "300ms"]);
    let mut client = server.connect();
    client.send("POST /eager HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    let head = client.head().expect("a response head");
    // Two other clients time out meanwhile, so the timeout has passed.
    is_closed(server.connect());
    is_closed(server.connect());
    client.send("hello");
    let body: Vec<u8> = client.body(&head).flatten().collect();
    assert_eq!(String::from_utf8_lossy(&body), "reading\n5 octets, trailers []\n");
}

#[test]
fn i12_a_stalled_body_times_out() {
    let server = server(&["--body-timeout", "300ms"]);
    for body in ["Content-Length: 5\r\n\r\nhel", "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n"] {
        let refused = server.ask(format!("POST / HTTP/1.1\r\nHost: test\r\n{body}"));
        assert_eq!((refused.status, refused.field("connection")), (408, Some("close")));
        server.line_with("read failed after 3 octets: ");
        serves(&server);
    }
}

#[test]
fn c3_a_client_that_does_not_read_its_response_is_reset() {
    let server = Launch::program("misbehaves").flags(["--write-timeout", "300ms", "--min-rate", "0"]).start();
    let mut client = server.connect();
    client.send("GET /streams HTTP/1.1\r\nHost: test\r\n\r\n");
    // The client reads nothing until the server has given up.
    server.line_with("\"GET /streams HTTP/1.1\" 499");
    let (_, close) = client.rest();
    assert_eq!(close, Close::Reset);
    assert_eq!(server.get("/well").text(), "well");
}

#[test]
fn c3_b8_little_is_buffered_for_a_client_that_does_not_read() {
    let flags = ["--write-timeout", "300ms", "--access-log-format", "json"];
    let server = Launch::program("downloads").flags(flags).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let line = server.line(|line| line.contains("\"event\":\"request\"") && line.contains("\"status\":499"));
    let entry: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
    let sent = entry["sent"].as_u64().expect("a number");
    // Without a limit, the kernel alone would buffer four times that.
    assert!((1..=1 << 20).contains(&sent), "{sent} bytes were accepted from the handler");
}

#[test]
fn c3_the_handler_learns_whether_its_client_was_slow_or_disconnected() {
    let flags = ["--write-timeout", "300ms", "--min-rate", "0"];
    let server = Launch::program("downloads").flags(flags).start();
    let mut slow = server.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    server.line_with("sent less than asked for: timed out sending the response");
    let mut gone = server.connect();
    gone.send("GET /gone HTTP/1.1\r\nHost: test\r\n\r\n");
    drop(gone);
    server.line_with("sent less than asked for: ");
}
