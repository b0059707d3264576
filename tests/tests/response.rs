//! `start_response` and `write`: what handlers may pass, and what is sent to the client (rules S and B).

use wasmserve_tests::{
    client::{End, Response},
    server::{Door, Server, Shared},
};

/// Makes `starts_as_told` respond as the query says.
fn start(server: &Door, query: &str) -> Response {
    server.get(&format!("/?{query}"))
}

#[test]
fn s6_s7_status_and_reason_are_sent_or_refused() {
    let server = Server::start("starts_as_told");
    let taken = [
        ("200%20OK", 200, "OK"),
        ("503%20Later", 503, "Later"),
        ("599%20Weird%20Thing", 599, "Weird Thing"),
        ("404%20", 404, ""),
        ("404", 404, ""),
        ("999%20Odd", 999, "Odd"),
        ("200%20caf%C3%A9", 200, "caf\u{c3}\u{a9}"),
    ];
    for (status, code, reason) in taken {
        let response = start(&server, &format!("status={status}&chunk=x"));
        assert_eq!((response.status, &*response.reason, &*response.body), (code, reason, &b"x"[..]), "{status}");
    }
    for status in
        ["099%20Low", "1000%20High", "100%20Continue", "101%20Switching", "OK", "20x%20OK", "200%0D%0AX:1", ""]
    {
        let response = start(&server, &format!("status={status}"));
        assert_eq!(response.status, 500, "{status}");
        assert_eq!(response.field("Wasmserve-Fault"), Some("bad-response-head"), "{status}");
    }
    server.line_with("log: start: BadStatus");
    server.line_with("500 bad-response-head: the status is not three digits");
    // The server survives all of them.
    assert_eq!(start(&server, "chunk=fine").text(), "fine");
}

#[test]
fn s8_s10_malformed_fields_are_refused_and_cannot_split_the_response() {
    let server = Server::start("starts_as_told");
    let fields = [
        ":empty",
        "X%20A:1",
        "X-B%0D%0AEvil:1",
        "X-C:1%0D%0AEvil:1",
        "X-D:1%0AEvil:1",
        "X-E:nul%00",
        "X-F:%01",
        "X-G:%7F",
        "Content-Length:x",
        "Content-Length:-1",
        "Content-Length:%2B1",
        "Content-Length:1,%201",
        "Content-Length:18446744073709551616",
        "Content-Length:1&field=Content-Length:1",
    ];
    for field in fields {
        let response = start(&server, &format!("field={field}"));
        assert_eq!((response.status, response.end), (500, End::Whole), "{field}");
        assert_eq!(response.field("Wasmserve-Fault"), Some("bad-response-head"), "{field}");
        assert_eq!(response.field("Evil"), None, "{field}");
    }
    server.line_with("500 bad-response-head: bad header: `X A`: the name is not a token");
    server.line_with("500 bad-response-head: bad header: `X-B\\x0d\\x0aEvil`: the name is not a token");
    server.line_with("log: start: BadHeader");
    let many = "field=A:1&".repeat(101);
    assert_eq!(start(&server, &many).status, 500, "F12");
    let large = format!("field=A:{}", "x".repeat(7000));
    assert_eq!(start(&server, &large).status, 200, "below 32 KiB");
}

#[test]
fn s9_hop_by_hop_fields_are_refused() {
    let server = Server::start("starts_as_told");
    let names = [
        "Connection",
        "keep-alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ];
    for name in names {
        assert_eq!(start(&server, &format!("field={name}:x")).status, 500, "{name}");
    }
    server.line_with("start: HopByHop(\"transfer-encoding\")");
    server.line_with("500 bad-response-head: `upgrade` is a hop-by-hop field");
}

#[test]
fn s11_to_s14_other_fields_are_sent_unchanged() {
    let server = Shared::program("starts_as_told");
    let response = start(
        &server,
        "field=Set-Cookie:a=1&field=X-Ws:%20%20x%20y%09&field=Set-Cookie:b=2&field=Date:today&field=Server:mine\
         &field=Status:404&field=X-Empty:&field=X-High:caf%C3%A9&chunk=x",
    );
    assert_eq!(response.status, 200, "S14");
    assert_eq!(response.values("set-cookie"), ["a=1", "b=2"], "S11");
    assert_eq!(response.field("X-Ws"), Some("x y"), "S8");
    assert_eq!(response.field("X-Empty"), Some(""));
    assert_eq!(response.field("X-High"), Some("caf\u{c3}\u{a9}"), "S8: bytes stay");
    assert_eq!(response.field("Date"), Some("today"), "S12");
    assert_eq!(response.field("Server"), Some("mine"), "S12");
    assert_eq!(response.field("Content-Type"), None, "S13");
}

#[test]
fn s2_a_second_start_is_refused_and_the_first_one_stands() {
    let server = Shared::program("starts_twice");
    let response = server.get("/caught");
    assert_eq!((response.status, response.text()), (200, "Some(AlreadyStarted)"));
    assert_eq!((response.field("X-First"), response.field("X-Second")), (Some("1"), None));
}

#[test]
fn s3_an_error_before_the_head_is_sent_replaces_status_and_all_fields() {
    let server = Server::start("starts_twice");
    let response = server.get("/replaced");
    assert_eq!((response.status, &*response.reason, response.text()), (503, "Later", "None"));
    assert_eq!((response.field("X-First"), response.field("X-Second")), (None, Some("2")));
    server.line(|line| line == "[1] exception: the backend is away");
}

#[test]
fn s4_an_error_after_the_head_is_sent_is_too_late() {
    let server = Server::start("starts_twice");
    let response = server.get("/late");
    assert_eq!((response.status, response.end), (200, End::Cut), "the host truncates the response");
    assert!(response.text().starts_with("first"));
    server.line_with("the backend is away");
}

#[test]
fn b1_no_more_bytes_are_sent_than_announced() {
    let server = Server::start("long_body");
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.text(), response.end), (200, "abc", End::Whole));
        assert_eq!(response.field("Content-Length"), Some("3"));
    }
    let server = Server::start("starts_as_told");
    start(&server, "field=Content-Length:3&chunk=ab&chunk=cd&chunk=e");
    server.line_with("write: Ok");
    server.line_with("write: Err(PastContentLength)");
}

#[test]
fn b1_dropped_bytes_are_noted_once() {
    let server = Server::start("long_body");
    assert_eq!(server.get("/").text(), "abc");
    let log = server.stop();
    let notes = log.iter().filter(|line| line.starts_with("[1] ") && line.contains("Content-Length"));
    assert_eq!(notes.count(), 1, "{log:#?}");
}

#[test]
fn b2_a_body_shorter_than_announced_is_visibly_truncated() {
    let server = Server::start("short_body");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text(), response.end), (200, "short", End::Cut));
    server.line(|line| {
        line == "[1] 200 short-body: response cut: the handler wrote 5 bytes less than its Content-Length (GET / HTTP/1.1)"
    });
}

#[test]
fn b3_to_b6_the_host_frames_the_body() {
    let server = Shared::program("starts_as_told");
    let response = start(&server, "chunk=a&chunk=&chunk=b");
    assert_eq!((response.text(), response.end), ("ab", End::Whole));
    assert_eq!(response.field("Transfer-Encoding"), Some("chunked"), "B4");

    for query in ["", "chunk="] {
        let response = start(&server, query);
        assert_eq!((response.status, response.field("Content-Length")), (200, Some("0")), "B5, B6");
    }

    let mut client = server.connect();
    client.send("GET /?chunk=a&chunk=b HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.text(), response.end), ("ab", End::Closed), "B4");
    assert_eq!((response.field("Transfer-Encoding"), response.field("Content-Length")), (None, None), "B4");
}

#[test]
fn b9_head_has_the_fields_and_no_body() {
    let server = Shared::program("hello");
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.response_to_head();
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("14")));
    // A byte of a body would corrupt the next response.
    assert_eq!(client.response().text(), "Hello, World!\n");

    let server = Shared::program("starts_as_told");
    let mut client = server.connect();
    client.send("HEAD /?chunk=a&chunk=b HTTP/1.1\r\nHost: test\r\n\r\nGET /?chunk=c HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
    assert_eq!(client.response().text(), "c");
}

#[test]
fn b9_head_of_an_endless_body_is_answered() {
    let server = Server::start("downloads");
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\nGET /?blocks=0 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
    assert_eq!(client.response().body, b"");
}

#[test]
fn b10_some_statuses_have_no_body() {
    let server = Shared::program("starts_as_told");
    let mut client = server.connect();
    let cases = [
        ("204", "chunk=body", None),
        ("204", "field=Content-Length:4&chunk=body", None),
        ("205", "chunk=body", Some("0")),
        ("304", "chunk=body", None),
    ];
    for (status, query, length) in cases {
        client.send(format!("GET /?status={status}&{query} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status.to_string(), &*response.body), (status.to_owned(), &b""[..]), "{query}");
        assert_eq!(response.field("Content-Length"), length, "{status} {query}");
        assert_eq!(response.field("Transfer-Encoding"), None, "{status} {query}");
    }
    // No byte of their bodies was sent.
    client.send("GET /?chunk=next HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.response().text(), "next");
}

#[test]
fn b10_a_304_keeps_the_length_that_the_handler_gave() {
    let server = Shared::program("starts_as_told");
    let response = start(&server, "status=304&field=Content-Length:4&chunk=body");
    assert_eq!((response.status, &*response.body), (304, &b""[..]));
    assert_eq!(response.field("content-length"), Some("4"));
}

#[test]
fn b11_bytes_are_not_changed() {
    let server = Shared::program("echo");
    let all: Vec<u8> = (0..=255).chain(*b"\r\n\n\r\r\n\0").collect();
    let mut request = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", all.len()).into_bytes();
    request.extend(&all);
    assert_eq!(server.ask(request).body, all);
}

#[test]
fn f11_a_write_before_the_start_is_refused_and_not_sent() {
    let server = Server::start("writes_before_starting");
    let response = server.get("/");
    assert_eq!((response.status, response.field("Wasmserve-Fault")), (500, Some("no-start-response")));
    server.line(|line| line == "[1] log: write: start_response was not called");
}
