//! Malformed requests (RFC 9113), and whether they end only their stream or the whole connection.
//!
//! `host/src/transport/http2/head.rs` describes what h2 does by itself.

use wasmserve_tests::{
    http2::{END_HEADERS, END_STREAM, End, Http2, block, code, fields, frame, headers, kind},
    server::{Launch, Server, Shared},
};

use super::{connect, with};

const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// An ordinary request with one field changed or removed.
fn but<'a>(name: &str, value: Option<&'a str>) -> Fields<'a> {
    let set = |(known, old)| if known == name { value.map(|value| (known, value)) } else { Some((known, old)) };
    fields("GET", "/smuggled").into_iter().filter_map(set).collect()
}

/// Checks that the connection still works.
fn still_works(client: &mut Http2, what: &dyn std::fmt::Debug) {
    assert_eq!(client.get("/next").text(), "GET /next HTTP/2\r\nhost: test\r\n\r\n", "after {what:?}");
}

/// Stops a server that received malformed requests, and returns its log.
fn stopped(client: Http2, server: Server) -> Vec<String> {
    // A client that does not answer the GOAWAY would delay the stop.
    drop(client);
    let log = server.stop();
    assert!(
        !log.iter().any(|line| line.contains(" log: ") && line.contains("smuggled")),
        "a handler received it: {log:#?}"
    );
    log
}

#[test]
fn h4_h8_x5_a_malformed_request_that_h2_accepts_is_a_400_and_the_next_stream_works() {
    let get = |more: &[(&'static str, &'static str)]| with("GET", "/smuggled", more);
    let white = "the value of a header has surrounding white space or a control character";
    let host = "the Host of the request differs from its authority";
    let scheme = "the scheme of the request is neither http nor https";
    let cases = [
        (get(&[("x", " a")]), white),
        (get(&[("x", "a ")]), white),
        (get(&[("x", "\ta")]), white),
        (get(&[("x", "a\t")]), white),
        (get(&[("x", " ")]), white),
        (get(&[("cookie", "a=1 "), ("cookie", "b=2")]), white),
        (get(&[("\"x\"", "a")]), "the name of a header is not a lower-case token"),
        (get(&[("host", "other")]), host),
        (get(&[("host", "test:81")]), host),
        (get(&[("host", "")]), host),
        (get(&[("host", "test"), ("host", "test")]), "the request has more than one Host"),
        (get(&[("host", "test"), ("host", "other")]), "the request has more than one Host"),
        (but(":authority", Some("user@test")), "the Host of the request is malformed"),
        (but(":authority", Some("test:8x")), "the Host of the request is malformed"),
        (but(":authority", None), "the request has no Host"),
        ([but(":authority", None), vec![("host", "a"), ("host", "a")]].concat(), "the request has more than one Host"),
        ([but(":authority", None), vec![("host", "a b")]].concat(), "the Host of the request is malformed"),
        ([but(":authority", None), vec![("host", "user@a")]].concat(), "the Host of the request is malformed"),
        (but(":scheme", Some("")), scheme),
        (but(":scheme", Some("ftp")), scheme),
        (but(":scheme", Some("httpss")), scheme),
        (but(":path", Some("?smuggled")), "the request target is not a path"),
        (but(":path", Some("*")), "the request target `*` is only valid with OPTIONS"),
    ];
    let server = Server::start("dump");
    let mut client = connect(&server);
    for (request, why) in &cases {
        let stream = client.ask(request);
        let response = client.response(stream);
        assert_eq!((response.status, response.end), (400, End::Whole), "{request:?}");
        assert_eq!(response.field("wasmserve-fault"), Some("refused"), "{request:?}");
        assert!(response.text().contains(why), "{request:?}: {}", response.text());
        still_works(&mut client, request);
    }
    // Also while its body is being sent.
    let stream = client.begin(&with("POST", "/smuggled", &[("host", "other")]));
    client.data(stream, "x=1");
    assert_eq!(client.response(stream).status, 400);
    still_works(&mut client, &"a body");

    let log = stopped(client, server);
    let lines = log.iter().filter(|line| line.contains("HTTP/2\" 400 -")).count();
    assert_eq!(lines, cases.len() + 1, "L5: {log:#?}");
    for (_, why) in cases {
        assert!(log.iter().any(|line| line.contains(why)), "{why}: {log:#?}");
    }
}

#[test]
fn h4_host_may_repeat_the_authority_and_the_scheme_may_be_https() {
    let server = Shared::program("dump");
    let mut client = connect(&server);
    let host = |authority, host| [but(":authority", Some(authority)), vec![("host", host)]].concat();
    for (request, line) in [
        (host("test", "test"), "host: test\r\n"),
        (host("test", "TEST"), "host: test\r\n"),
        (host("test:80", "test"), "host: test:80\r\n"),
        (host("[::1]:8000", "[::1]:8000"), "host: [::1]:8000\r\n"),
        (but(":scheme", Some("https")), "host: test\r\n"),
        (but(":scheme", Some("HTTP")), "host: test\r\n"),
        ([but(":authority", None), vec![("host", "other")]].concat(), "host: other\r\n"),
    ] {
        let stream = client.ask(&request);
        assert_eq!(client.response(stream).text(), format!("GET /smuggled HTTP/2\r\n{line}\r\n"), "{request:?}");
    }
}

#[test]
fn h3_cookie_crumbs_reach_the_handler_as_one_field() {
    let server = Shared::program("dump");
    let mut client = connect(&server);
    let stream = client.ask(&with("GET", "/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "")]));
    let text = client.response(stream).text().to_owned();
    assert_eq!(text, "GET / HTTP/2\r\nhost: test\r\ncookie: a=1; b=2\r\nx: y\r\n\r\n");
}

#[test]
fn a_request_that_h2_finds_malformed_ends_only_its_stream() {
    let get = |more: &[(&'static str, &'static str)]| with("GET", "/smuggled", more);
    let connect_to = |more: &[(&'static str, &'static str)]| [&[(":method", "CONNECT")], more].concat();
    let server = Server::start("dump");
    let mut client = connect(&server);
    for request in [
        // RFC 9113 section 8.2.2.
        get(&[("connection", "close")]),
        get(&[("keep-alive", "timeout=5")]),
        get(&[("proxy-connection", "close")]),
        get(&[("transfer-encoding", "chunked")]),
        get(&[("upgrade", "h2c")]),
        get(&[("te", "gzip")]),
        get(&[("te", "trailers, gzip")]),
        // Sections 8.3 and 8.3.1.
        get(&[("x", "1"), (":path", "/late")]),
        get(&[(":path", "/again")]),
        get(&[(":method", "POST")]),
        get(&[(":scheme", "http")]),
        get(&[(":authority", "test")]),
        get(&[(":status", "200")]),
        get(&[(":protocol", "websocket")]),
        but(":method", None),
        but(":scheme", None),
        but(":path", None),
        but(":path", Some("")),
        but(":path", Some("smuggled")),
        but(":path", Some("http://other/smuggled")),
        but(":path", Some("*/smuggled")),
        but(":path", Some("/smug gled")),
        but(":path", Some("/smuggled\r\n")),
        but(":path", Some("/?smuggled=\"")),
        but(":scheme", Some("ht tp")),
        but(":scheme", Some("http://")),
        but(":authority", Some("")),
        but(":authority", Some("a b")),
        but(":authority", Some("test/smuggled")),
        but(":authority", Some("test#smuggled")),
        but(":authority", Some("test\r\nx: y")),
        // Section 8.5, and RFC 8441 without its setting.
        connect_to(&[(":authority", "a:443"), (":scheme", "http"), (":path", "/smuggled")]),
        connect_to(&[(":protocol", "websocket"), (":scheme", "http"), (":path", "/smuggled"), (":authority", "test")]),
        // Section 8.1.1.
        get(&[("content-length", "1")]),
        get(&[("content-length", "0"), ("content-length", "1")]),
        get(&[("content-length", "0, 0")]),
        get(&[("content-length", " 0")]),
    ] {
        let stream = client.ask(&request);
        assert_eq!(client.end(stream), End::Reset(code::PROTOCOL_ERROR), "{request:?}");
        assert!(client.head(stream).is_none(), "{request:?}");
        still_works(&mut client, &request);
    }
    let stream = client.ask(&with("GET", "/", &[("te", "trailers")]));
    assert_eq!(client.response(stream).status, 200);
    let log = stopped(client, server);
    assert!(!log.iter().any(|line| line.contains("smuggled")), "{log:#?}");
}

/// If one of these ends only its stream, h2 has changed, and the text in `head.rs` must change too.
#[test]
fn a_head_that_h2_cannot_parse_ends_only_its_connection() {
    let get = |more: &[(&'static str, &'static str)]| with("GET", "/smuggled", more);
    let server = Server::start("dump");
    let mut other = connect(&server);
    for request in [
        get(&[("X", "in capitals")]),
        get(&[("x y", "not a token")]),
        get(&[("x:", "not a token")]),
        get(&[("x\u{e9}", "not a token")]),
        get(&[("x", "a\r\nb: c")]),
        get(&[("x", "a\nb")]),
        get(&[("x", "a\rb")]),
        get(&[("x", "a\0b")]),
        get(&[("x", "a\x7fb")]),
        get(&[("x", "a\x0cb")]),
        get(&[(":mine", "1")]),
        get(&[("", "1")]),
        but(":method", Some("")),
        but(":method", Some("G T")),
        but(":method", Some("GET\r\n")),
    ] {
        let mut client = connect(&server);
        let stream = client.ask(&request);
        assert_eq!(client.end(stream), End::Cut, "{request:?}");
        assert_eq!(client.go_away().code, code::PROTOCOL_ERROR, "{request:?}");
        still_works(&mut other, &request);
    }
    // A malformed field before a CONTINUATION.
    let mut client = connect(&server);
    let stream = client.stream();
    client.send(frame(kind::HEADERS, END_STREAM, stream, block(&get(&[("connection", "close")]))));
    client.send(frame(kind::CONTINUATION, END_HEADERS, stream, block(&[("x", "y")])));
    assert_eq!(client.go_away().code, code::PROTOCOL_ERROR);
    let log = stopped(other, server);
    assert!(!log.iter().any(|line| line.contains("smuggled")), "{log:#?}");
}

#[test]
fn t8_parts_that_h2_drops_from_a_head_reach_no_handler() {
    let server = Shared::program("dump");
    let mut client = connect(&server);
    for (path, target) in
        [("/a#b", "/a"), ("/a?b#c?d", "/a?b"), ("/#", "/"), ("#a", "/"), ("/a# HTTP/1.1\r\nx: y", "/a")]
    {
        let stream = client.ask(&but(":path", Some(path)));
        assert_eq!(client.response(stream).text(), format!("GET {target} HTTP/2\r\nhost: test\r\n\r\n"), "{path:?}");
    }
    // Without an authority h2 drops the scheme.
    let stream = client.ask(&[(":method", "GET"), (":scheme", "ftp"), (":path", "/"), ("host", "a")]);
    assert_eq!(client.response(stream).text(), "GET / HTTP/2\r\nhost: a\r\n\r\n");
    // h2 forgets that a block is malformed if a frame ends within a later field.
    for more in [("connection", "close"), (":path", "/smuggled"), (":authority", "smuggled"), ("te", "smuggled")] {
        let block = block(&with("GET", "/", &[more, ("x", "y")]));
        let stream = client.stream();
        let (first, second) = block.split_at(block.len() - 1);
        client.send(frame(kind::HEADERS, END_STREAM, stream, first));
        client.send(frame(kind::CONTINUATION, END_HEADERS, stream, second));
        assert_eq!(client.response(stream).text(), "GET / HTTP/2\r\nhost: test\r\nx: y\r\n\r\n", "{more:?}");
    }
}

#[test]
fn a_head_is_the_same_however_its_frames_are_split_or_padded() {
    let server = Shared::program("dump");
    let mut client = connect(&server);
    let block = block(&with("GET", "/x", &[("cookie", "a=1"), ("x-mine", "1"), ("cookie", "b=2"), ("x-mine", "2")]));
    let whole = "GET /x HTTP/2\r\nhost: test\r\ncookie: a=1; b=2\r\nx-mine: 1\r\nx-mine: 2\r\n\r\n";
    for cut in 0..=block.len() {
        let stream = client.stream();
        let (first, second) = block.split_at(cut);
        client.send(frame(kind::HEADERS, END_STREAM, stream, first));
        client.send(frame(kind::CONTINUATION, END_HEADERS, stream, second));
        assert_eq!(client.response(stream).text(), whole, "cut at {cut}");
    }
    // The most frames that h2 allows for a head, of one byte each.
    let stream = client.stream();
    client.send(frame(kind::HEADERS, END_STREAM, stream, &block[..1]));
    for at in 1..=5 {
        client.send(frame(kind::CONTINUATION, 0, stream, &block[at..=at]));
    }
    client.send(frame(kind::CONTINUATION, END_HEADERS, stream, &block[6..]));
    assert_eq!(client.response(stream).text(), whole);

    let stream = client.stream();
    let padded = [&[7, 0, 0, 0, 0, 15][..], &block, &[0; 7]].concat();
    client.send(frame(kind::HEADERS, END_STREAM | END_HEADERS | PADDED | PRIORITY, stream, padded));
    assert_eq!(client.response(stream).text(), whole);

    let stream = client.stream();
    client.send(frame(kind::HEADERS, END_STREAM, stream, &block[..1]));
    for at in 1..=6 {
        client.send(frame(kind::CONTINUATION, 0, stream, &block[at..=at]));
    }
    assert_eq!(client.go_away().code, code::ENHANCE_YOUR_CALM);
}

#[test]
fn i4_i6_malformed_trailers_do_not_end_a_body() {
    let server = Launch::program("reads_input").start();
    let mut client = connect(&server);
    let mut post = |trailers: &[(&str, &str)]| {
        let stream = client.begin(&fields("POST", "/stubborn"));
        client.data(stream, "hello");
        client.send(headers(stream, trailers, END_STREAM));
        let end = client.end(stream);
        client.head(stream).map(|_| client.response(stream).text().to_owned()).ok_or(end)
    };
    for trailer in [("x", " a"), ("x", "a\t"), ("x", " "), ("\"x\"", "a"), ("host", " evil")] {
        let text = post(&[("y", "1"), trailer]).expect("a response");
        assert_eq!(text, "5 octets, trailers []\n", "{trailer:?}");
        server.line_with("log: read failed after 5 octets");
    }
    // h2 refuses these by itself.
    for trailer in [("connection", "close"), ("transfer-encoding", "chunked"), ("te", "gzip")] {
        assert_eq!(post(&[trailer]), Err(End::Reset(code::PROTOCOL_ERROR)), "{trailer:?}");
    }
    // h2 drops these before we see them, but nothing else.
    for pseudo in [":path", ":authority", ":scheme"] {
        let text = post(&[(pseudo, "/evil"), ("x", "1")]).expect("a response");
        assert_eq!(text, "5 octets, trailers [(\"x\", \"1\")]\n", "{pseudo}");
    }
    // It also drops fields beyond the maximum header list size.
    let large = "x".repeat(70 << 10);
    let text = post(&[("x", "1"), ("large", &large), ("y", "2")]).expect("a response");
    assert_eq!(text, "5 octets, trailers [(\"x\", \"1\")]\n");
    assert_eq!(client.get("/").status, 200);

    let server = Launch::program("reads_input").flags(["--buffer-body", "1KiB"]).start();
    let mut client = connect(&server);
    let stream = client.begin(&fields("POST", "/"));
    client.send(headers(stream, &[("x", " a")], END_STREAM));
    let response = client.response(stream);
    assert_eq!((response.status, response.field("wasmserve-fault")), (400, Some("bad-input")));
    assert_eq!(client.get("/").status, 200);
}

/// If it does not, hyper has changed, and the text in `head.rs` must change too.
#[test]
fn t6_connect_is_a_501_and_with_a_length_it_ends_the_connection() {
    let server = Shared::program("dump");
    let mut client = connect(&server);
    let request = [(":method", "CONNECT"), (":authority", "a:443")];
    let stream = client.begin(&request);
    client.data(stream, "hello");
    assert_eq!(client.response(stream).status, 501);
    still_works(&mut client, &request);
    let stream = client.begin(&[&request[..], &[("content-length", "5")]].concat());
    assert_ne!(client.end(stream), End::Whole);
    _ = client.closed();
    still_works(&mut connect(&server), &request);
}
