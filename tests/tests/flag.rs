//! Flags and their effects on responses and in the log.

mod access_log;
mod forwarded;
mod linger;
mod lint;

use wasmserve_tests::{
    client::End,
    server::{Launch, Server},
};

fn start(program: &str, flags: &[&str]) -> Server {
    Launch::program(program).flags(flags).start()
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{body}")
}

fn chunked(length: usize) -> String {
    format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length))
}

fn counted(length: usize) -> String {
    format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length))
}

/// The value of a variable in the output of the guest `environ`.
fn variable<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'));
    let value = values.next();
    assert_eq!(values.next(), None, "`{name}` is printed twice");
    value
}

#[test]
fn i8_a_buffered_chunked_body_has_a_length() {
    let server = start("environ", &["--buffer-body", "1KiB"]);
    for length in [1, 11, 1024] {
        for body in [chunked(length), counted(length)] {
            let response = server.ask(post(&body));
            let text = response.text();
            assert_eq!(variable(text, "CONTENT_LENGTH"), Some(&*length.to_string()), "{text}");
            assert_eq!(variable(text, "HTTP_TRANSFER_ENCODING"), None, "{text}");
        }
    }
    let response = server.ask(post("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
    assert_eq!(variable(response.text(), "CONTENT_LENGTH"), Some("0"));
    assert_eq!(variable(server.get("/").text(), "CONTENT_LENGTH"), None, "no body, no length");

    // Without the flag it stays chunked.
    let response = Server::start("environ").ask(post(&chunked(11)));
    assert_eq!(variable(response.text(), "CONTENT_LENGTH"), None);
    assert_eq!(variable(response.text(), "HTTP_TRANSFER_ENCODING"), Some("chunked"));

    let server = start("reads_input", &["--buffer-body", "1KiB"]);
    let body = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n";
    let text = server.ask(post(body)).text().to_ascii_lowercase();
    assert_eq!(text, "11 octets, trailers [(\"x-sum\", \"7\")]\n", "all of the body can be read");
}

#[test]
fn i8_a_body_beyond_the_buffer_is_a_413_and_the_handler_never_starts() {
    let server = start("reads_input", &["--buffer-body", "1KiB"]);
    for body in [chunked(1025), counted(1025)] {
        let response = server.ask(post(&body));
        assert_eq!((response.status, response.end), (413, End::Whole));
        assert_eq!(response.field("Connection"), Some("close"));
    }
    // The smaller limit applies.
    let strict = start("reads_input", &["--buffer-body", "1KiB", "--max-body", "10"]);
    assert_eq!(strict.ask(post(&chunked(11))).status, 413);
    assert_eq!(strict.ask(post(&chunked(10))).status, 200);
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains("] log: ")), "{log:#?}");
}

#[test]
fn i8_a_handler_does_not_start_before_the_whole_body_has_arrived() {
    let server = start("reads_input", &["--buffer-body", "1KiB"]);
    let bodies = [
        ("Content-Length: 10\r\n\r\nhello", "400 bad-input"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "400 bad-input"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n", "400 bad-input"),
    ];
    for (exchange, (body, fault)) in bodies.into_iter().enumerate() {
        let mut client = server.connect();
        // A handler that starts would answer `/eager` at once.
        client.send(format!("POST /eager HTTP/1.1\r\nHost: x\r\n{body}"));
        client.end();
        let response = client.response();
        assert_eq!((response.status, response.end), (400, End::Whole), "{body:?}");
        server.line_with(&format!("[{}] {fault}: ", exchange + 1));
    }
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains("] log: ")), "{log:#?}");
}

#[test]
fn i8_i9_buffering_a_body_sends_100_continue() {
    let server = start("ignores_input", &["--buffer-body", "1KiB"]);
    let mut client = server.connect();
    client.send(post("Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
    assert_eq!(client.head().expect("an interim response").status, 100);
    client.send("hello");
    let response = client.response();
    assert_eq!((response.status, response.text(), response.field("Connection")), (200, "ignored", None));
}

#[test]
fn s12_the_user_can_set_the_server_field() {
    let field = |flags: &[&str], query: &str| {
        let response = start("starts_as_told", flags).get(&format!("/?chunk=a{query}"));
        assert_eq!(response.status, 200);
        response.field("Server").map(ToOwned::to_owned)
    };
    assert!(field(&[], "").is_some_and(|server| server.starts_with("wasmserve/")));
    assert_eq!(field(&["--server-header", "mine/1 (x)"], "").as_deref(), Some("mine/1 (x)"));
    assert_eq!(field(&["--server-header", ""], ""), None);
    for flags in [&[][..], &["--server-header", "mine/1"], &["--server-header", ""]] {
        assert_eq!(field(flags, "&field=Server:own").as_deref(), Some("own"), "the handler's own field wins");
    }
    // The host's own responses have it too.
    let server = start("traps", &["--server-header", "mine/1"]);
    assert_eq!(server.get("/").field("Server"), Some("mine/1"));
    assert_eq!(server.ask("GET / HTTP/1.1\r\n\r\n").field("Server"), Some("mine/1"));
}

#[test]
fn i7_max_body_applies_with_and_without_a_content_length() {
    let server = start("reads_input", &["--max-body", "0"]);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.ask(post("Content-Length: 0\r\n\r\n")).status, 200);
    assert_eq!(server.ask(post("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")).status, 200);
    for body in [chunked(1), counted(1)] {
        let response = server.ask(post(&body));
        assert_eq!((response.status, response.field("Connection")), (413, Some("close")));
    }
    // There is no 100 Continue for a body that is refused anyway.
    let response = server.ask(post("Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"));
    assert_eq!((response.status, response.field("Connection")), (413, Some("close")));
}

#[test]
fn t12_max_head_counts_the_whole_head() {
    let server = start("hello", &["--max-head", "2KiB"]);
    let ask = |fields: &str| server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    assert_eq!(ask(&format!("A: {}\r\n", "b".repeat(1900))).status, 200);
    for fields in
        [format!("A: {}\r\n", "b".repeat(2100)), "A: b\r\n".repeat(400), format!("{}: b\r\n", "A".repeat(2100))]
    {
        let response = ask(&fields);
        assert_eq!((response.status, response.field("Connection")), (431, Some("close")));
    }
    let log = server.stop();
    assert_eq!(log.iter().filter(|line| line.contains("\" 431 -")).count(), 3, "L5: {log:#?}");
}

#[test]
fn debug_logs_how_instances_are_wiped() {
    let wiping = |server: &Server| server.line(|line| line.starts_with("wasmserve: debug: "));
    let server = start("hello", &["--debug"]);
    let line = wiping(&server);
    assert!(line.contains("a pool: their memory goes back to the system when they end"), "{line}");

    // Enough address space for some instances, but far too little for a pool.
    let server = Launch::program("hello").flags(["--debug"]).addresses(64 << 20).start();
    let line = wiping(&server);
    assert!(line.contains("no address space for a pool"), "{line}");
    assert_eq!(server.get("/").status, 200);

    let log = start("hello", &[]).stop();
    assert!(!log.iter().any(|line| line.contains("debug:")), "only with --debug: {log:#?}");
}
