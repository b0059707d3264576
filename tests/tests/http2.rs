//! HTTP/2 with prior knowledge, which follows the same rules as HTTP/1.

mod connection;
mod flood;
mod malformed;

use wasmserve_tests::{
    http2::{END_STREAM, End, Http2, code, fields, headers},
    server::{Door, Launch, Server, Shared},
};

fn connect(server: &Door) -> Http2 {
    Http2::connect(server.addr())
}

/// The fields of an ordinary request, and others.
fn with<'a>(method: &'a str, path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [fields(method, path), more.to_vec()].concat()
}

#[test]
fn e5_an_http2_request_has_the_same_environ_as_others() {
    let server = Server::start("environ");
    let mut client = connect(&server);
    let more = [("cookie", "a=1"), ("x-mine", "caf\u{e9}"), ("cookie", "b=2"), ("x-mine", ""), ("x_mine", "no")];
    let stream = client.ask(&with("GET", "/a%20b//c?x=%2F?y", &more));
    let response = client.response(stream);
    assert_eq!((response.status, response.end), (200, End::Whole));
    let text = response.text();
    for line in [
        "SERVER_PROTOCOL = \"HTTP/2\"",
        "REQUEST_METHOD = \"GET\"",
        "PATH_INFO = \"/a b//c\"",
        "QUERY_STRING = \"x=%2F?y\"",
        "REQUEST_URI = \"/a%20b//c?x=%2F?y\"",
        "REMOTE_ADDR = \"127.0.0.1\"",
        // RFC 9113 section 8.3.1.
        "HTTP_HOST = \"test\"",
        // H3; RFC 9113 section 8.2.3.
        "HTTP_COOKIE = \"a=1; b=2\"",
        "HTTP_X_MINE = \"caf\\xc3\\xa9, \"",
        "wsgi.url_scheme = \"http\"",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    for absent in ["CONTENT_LENGTH", "HTTP_:", "HTTP_AUTHORITY", "\"no\"", "HTTPS"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    assert_eq!(text.matches("HTTP_HOST").count(), 1);
    let port = server.addr().port();
    assert!(text.contains(&format!("SERVER_PORT = \"{port}\"\n")), "E6: {text}");
    server.line_with("\"GET /a%20b//c?x=%2F?y HTTP/2\" 200 -");
}

#[test]
fn streams_of_one_connection_run_concurrently_in_separate_instances() {
    let server = Shared::program("reads_input");
    let mut client = connect(&server);
    let streams: Vec<u32> = (0..50).map(|_| client.begin(&fields("POST", "/eager"))).collect();
    for stream in &streams {
        assert_eq!(client.piece(*stream).as_deref(), Some(&b"reading\n"[..]), "all run before one has ended");
    }
    for stream in streams.iter().rev() {
        client.last(*stream, vec![b'x'; *stream as usize]);
    }
    for stream in streams {
        let response = client.response(stream);
        assert_eq!((response.text(), response.end), (&*format!("{stream} octets, trailers []\n"), End::Whole));
    }

    let server = Shared::program("counts");
    let mut client = connect(&server);
    let streams: Vec<u32> = (0..50).map(|_| client.ask(&fields("GET", "/"))).collect();
    for stream in streams {
        assert_eq!(client.response(stream).text(), "1 None");
    }
}

#[test]
fn b7_a_chunk_arrives_before_the_response_ends() {
    let server = Shared::program("echo");
    let mut client = connect(&server);
    let stream = client.begin(&fields("POST", "/"));
    for number in 0..20 {
        let chunk = format!("chunk {number}");
        client.data(stream, &chunk);
        assert_eq!(client.piece(stream), Some(chunk.into_bytes()));
    }
    client.last(stream, "");
    assert_eq!((client.piece(stream), client.end(stream)), (None, End::Whole));
}

#[test]
fn e4_i1_a_body_may_come_with_or_without_a_length() {
    let server = Shared::program("environ");
    let mut client = connect(&server);
    let mut length = |more: &[(&str, &str)], body: Option<&str>| {
        let stream = client.begin(&with("POST", "/", more));
        client.last(stream, body.unwrap_or_default());
        let response = client.response(stream);
        assert_eq!(response.status, 200);
        response.text().lines().find(|line| line.contains("CONTENT_LENGTH")).map(ToOwned::to_owned)
    };
    assert_eq!(length(&[("content-length", "5")], Some("hello")).as_deref(), Some("CONTENT_LENGTH = \"5\""));
    assert_eq!(length(&[], Some("hello")), None);
    assert_eq!(length(&[("content-length", "0")], None).as_deref(), Some("CONTENT_LENGTH = \"0\""));

    let server = Shared::program("reads_input");
    let mut client = connect(&server);
    for more in [&[][..], &[("content-length", "10")]] {
        let stream = client.begin(&with("POST", "/", more));
        client.data(stream, "hello");
        client.data(stream, "");
        client.last(stream, "world");
        assert_eq!(client.response(stream).text(), "10 octets, trailers []\n");
    }
    assert_eq!(client.get("/").text(), "0 octets, trailers []\n", "I3");
}

#[test]
fn i4_trailers_reach_the_handler_and_never_the_environ() {
    let server = Shared::program("reads_input");
    let mut client = connect(&server);
    let stream = client.begin(&with("POST", "/", &[("trailer", "x-sum")]));
    client.data(stream, "hello");
    client.send(headers(stream, &[("x-sum", "7"), ("host", "evil"), ("content-length", "9")], END_STREAM));
    assert_eq!(client.response(stream).text(), "5 octets, trailers [(\"x-sum\", \"7\")]\n");
}

#[test]
fn b9_b10_responses_without_a_body_have_no_data() {
    let server = Shared::program("hello");
    let mut client = connect(&server);
    let stream = client.ask(&fields("HEAD", "/"));
    let response = client.response(stream);
    assert_eq!((response.status, response.field("content-length"), response.end), (200, Some("14"), End::Whole));
    assert!(response.body.is_empty());

    let server = Shared::program("starts_as_told");
    let mut client = connect(&server);
    for (query, status, length) in [
        ("status=204%20No&chunk=text", 204, None),
        ("status=204%20No&field=Content-Length:4&chunk=text", 204, None),
        ("status=304%20Not&field=Content-Length:4&chunk=text", 304, Some("4")),
        ("status=205%20Reset&chunk=text", 205, Some("0")),
        ("status=200%20OK", 200, Some("0")),
    ] {
        let response = client.get(&format!("/?{query}"));
        assert_eq!((response.status, response.field("content-length")), (status, length), "{query}");
        assert_eq!((response.body.len(), response.end), (0, End::Whole), "{query}");
    }
}

#[test]
fn s11_s12_s15_fields_keep_their_order_and_have_a_date_and_a_server() {
    let server = Server::start("starts_as_told");
    let mut client = connect(&server);
    let response = client.get("/?field=Set-Cookie:a%3D1&field=X-Mine:1&field=SET-COOKIE:b%3D2&chunk=text");
    assert_eq!(response.values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.text(), "text");
    assert!(response.field("date").is_some_and(|date| date.ends_with(" GMT")), "{response:?}");
    assert!(response.field("server").is_some_and(|server| server.starts_with("wasmserve/")), "{response:?}");
    for hop in ["connection", "transfer-encoding", "keep-alive", "upgrade"] {
        assert_eq!(response.field(hop), None, "RFC 9113 section 8.2.2");
    }
}

#[test]
fn x1_a_fault_before_the_head_is_a_500_and_the_connection_stays_open() {
    let server = Server::start("traps");
    let mut client = connect(&server);
    for exchange in [1, 3] {
        let response = client.get("/");
        assert_eq!((response.status, response.end), (500, End::Whole));
        assert_eq!(response.field("wasmserve-fault"), Some("trap"));
        assert_eq!(response.text(), format!("500 Internal Server Error: the handler failed (exchange {exchange})\n"));
        assert_eq!(client.get("/fine").text(), "fine");
    }
}

#[test]
fn x3_a_response_that_fails_after_its_head_is_reset_and_never_ended() {
    let cases = [
        ("traps_after_first_write", "/", &[][..], "200 trap: response cut: "),
        ("traps_after_first_write", "/length", &[], "200 trap: response cut: "),
        ("returns_an_error", "/late", &[], "200 exception: response cut: "),
        ("spins", "/late", &["--timeout", "500ms"], "200 wall-limit: response cut: "),
        ("sleeps", "/late", &["--timeout", "500ms"], "200 wall-limit: response cut: "),
    ];
    for (program, path, flags, fault) in cases {
        let server = Launch::program(program).flags(flags).start();
        let mut client = connect(&server);
        for exchange in 1..=3 {
            let stream = client.ask(&fields("GET", path));
            assert_eq!(client.end(stream), End::Reset(code::INTERNAL_ERROR), "{program} {path}");
            let response = client.response(stream);
            assert_eq!((response.status, response.text()), (200, "first"), "{program} {path}");
            server.line(|line| line.starts_with(&format!("[{exchange}] {fault}")));
        }
    }
}

#[test]
fn t2_any_method_reaches_the_handler() {
    let server = Shared::program("dump");
    let mut client = connect(&server);
    for method in ["FROBNICATE", "M-SEARCH", "get", "PRI"] {
        let stream = client.ask(&fields(method, "/x"));
        assert_eq!(client.response(stream).text(), format!("{method} /x HTTP/2\r\nhost: test\r\n\r\n"));
    }
}

#[test]
fn x5_a_refused_request_is_answered_and_the_connection_stays_open() {
    let server = Launch::program("dump").flags(["--max-body", "1KiB"]).start();
    let mut client = connect(&server);
    let long = format!("/{}", "a".repeat(8192));
    let large = "b".repeat(33 << 10);
    let many: Vec<String> = (0..100).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (&**name, "1")).collect();
    let cases = [
        ("T5", with("GET", "*", &[]), 400),
        ("T12", with("GET", &long, &[]), 414),
        ("T12", with("GET", "/", &[("x-large", &large)]), 431),
        ("T12", with("GET", "/", &many), 431),
        ("H4", vec![(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a b")], 400),
        ("H5", with("POST", "/", &[("content-type", "a"), ("content-type", "b")]), 400),
        ("I7", with("POST", "/", &[("content-length", "1025")]), 413),
        ("I10", with("POST", "/", &[("expect", "more")]), 417),
    ];
    for (rule, request, status) in &cases {
        let stream = client.begin(request);
        let head = client.head(stream);
        // h2 itself refuses some of them, as malformed.
        let Some(head) = head else {
            assert_eq!((client.end(stream), *rule), (End::Reset(code::PROTOCOL_ERROR), "H4"));
            continue;
        };
        assert_eq!((head.status, head.field("connection")), (*status, None), "{rule}: {request:?}");
        assert!(head.field("date").is_some() && head.field("content-length").is_some(), "{rule}");
        assert!(client.piece(stream).is_some_and(|text| text.starts_with(status.to_string().as_bytes())), "{rule}");
        client.reset(stream);
    }
    let stream = client.ask(&[(":method", "CONNECT"), (":authority", "a:443")]);
    assert_eq!(client.response(stream).status, 501, "T6");
    let stream = client.ask(&fields("OPTIONS", "*"));
    let response = client.response(stream);
    assert_eq!((response.status, response.field("allow").is_some()), (200, true), "T5");
    assert_eq!(client.get("/").status, 200);

    drop(client);
    let log = server.stop();
    let lines = |status| log.iter().filter(|line| line.contains(&format!(" HTTP/2\" {status} -"))).count();
    let counts: Vec<_> = [413, 414, 417, 431, 501].into_iter().map(lines).collect();
    assert_eq!(counts, [1, 1, 1, 2, 1], "L5: {log:#?}");
    assert!(!log.iter().any(|line| line.contains(" log: POST")), "no handler was called: {log:#?}");
}

#[test]
fn i7_a_body_over_the_limit_is_a_413() {
    let server = Launch::program("reads_input").flags(["--max-body", "1KiB"]).start();
    let mut client = connect(&server);
    let mut post = |more: &[(&str, &str)], length: usize| {
        let stream = client.begin(&with("POST", "/", more));
        client.last(stream, "x".repeat(length));
        client.response(stream)
    };
    assert_eq!(post(&[], 1024).text(), "1024 octets, trailers []\n");
    assert_eq!(post(&[("content-length", "1024")], 1024).text(), "1024 octets, trailers []\n");
    let response = post(&[], 1025);
    assert_eq!((response.status, response.field("wasmserve-fault")), (413, Some("body-too-large")));
    assert_eq!(post(&[("content-length", "1025")], 1025).status, 413);
    assert_eq!(post(&[], 3).text(), "3 octets, trailers []\n", "the connection stays open");
}

#[test]
fn i5_a_body_that_differs_from_its_length_is_never_complete() {
    let server = Server::start("reads_input");
    let mut client = connect(&server);
    for (body, rest) in [("hell", ""), ("hello", "!"), ("hello!", ""), ("", "")] {
        let stream = client.begin(&with("POST", "/stubborn", &[("content-length", "5")]));
        client.data(stream, body);
        // After a refusal the server may no longer know the stream.
        client.last(stream, rest);
        assert_eq!(client.end(stream), End::Reset(code::PROTOCOL_ERROR), "{body:?} {rest:?}");
        assert!(client.head(stream).is_none(), "{body:?} {rest:?}");
    }
    let stream = client.begin(&with("POST", "/", &[("content-length", "5")]));
    client.last(stream, "hello");
    assert_eq!(client.response(stream).text(), "5 octets, trailers []\n");
    for value in ["5, 5", "+5", "five", "", "99999999999999999999"] {
        let stream = client.begin(&with("POST", "/smuggled", &[("content-length", value)]));
        let end = match client.head(stream) {
            Some(head) => head.status,
            None => 0,
        };
        assert!(end == 400 || client.end(stream) == End::Reset(code::PROTOCOL_ERROR), "H5: {value:?}: {end}");
    }
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn i10_expect_does_not_make_the_client_wait() {
    let server = Shared::program("reads_input");
    let mut client = connect(&server);
    let stream = client.begin(&with("POST", "/", &[("expect", "100-continue"), ("content-length", "5")]));
    client.last(stream, "hello");
    assert_eq!(client.response(stream).text(), "5 octets, trailers []\n");
    let stream = client.ask(&with("GET", "/", &[("expect", "100-continue")]));
    assert_eq!(client.response(stream).status, 200);

    let server = Shared::program("ignores_input");
    let mut client = connect(&server);
    let stream = client.begin(&with("POST", "/", &[("expect", "100-continue"), ("content-length", "5")]));
    let response = client.response(stream);
    assert_eq!((response.status, response.text(), response.end), (200, "ignored", End::Whole));
}

#[test]
fn k5_an_unread_body_does_not_affect_other_streams() {
    let server = Shared::program("ignores_input");
    let mut client = connect(&server);
    // The server's settings and window must arrive before its first response.
    client.settle();
    for _ in 0..100 {
        let stream = client.begin(&fields("POST", "/"));
        client.data(stream, vec![b'x'; 16 << 10]);
        let response = client.response(stream);
        assert_eq!((response.status, response.text(), response.end), (200, "ignored", End::Whole));
    }
    assert_eq!(client.get("/").text(), "ignored");
}

#[test]
fn k10_a_reset_stream_ends_its_handler() {
    let server = Server::start("reads_input");
    let mut client = connect(&server);
    let stream = client.begin(&fields("POST", "/eager"));
    assert_eq!(client.piece(stream).as_deref(), Some(&b"reading\n"[..]));
    client.reset(stream);
    server.line_with("\"POST /eager HTTP/2\" 499 -");
    server.line_with("[1] log: read failed after 0 octets: the client went away");

    // Also before the response head.
    let stream = client.begin(&fields("POST", "/waits"));
    client.settle();
    client.reset(stream);
    server.line_with("\"POST /waits HTTP/2\" 499 -");
    assert_eq!(client.get("/").status, 200, "the connection stays open");

    // And when the whole connection closes.
    let stream = client.begin(&fields("POST", "/eager"));
    assert_eq!(client.piece(stream).as_deref(), Some(&b"reading\n"[..]));
    drop(client);
    server.line_with("[4] log: read failed after 0 octets: the client went away");
    let log = server.stop();
    assert_eq!(log.iter().filter(|line| line.contains("HTTP/2\" 499 -")).count(), 3, "L5: {log:#?}");
    assert!(!log.iter().any(|line| line.contains(" 500 ")), "a reset is not a handler's fault: {log:#?}");
}

#[test]
fn h3_cookie_crumbs_count_as_one_field() {
    let server = Launch::program("environ").flags(["--max-fields", "4", "--max-head", "4KiB", "--lint"]).start();
    let mut client = connect(&server);
    let crumbs: Vec<String> = (0..50).map(|number| format!("c{number}={number}")).collect();
    // Other fields may be between them.
    let mut more: Vec<(&str, &str)> = crumbs.iter().map(|crumb| ("cookie", &**crumb)).collect();
    more.insert(20, ("x-mine", "1"));
    let stream = client.ask(&with("GET", "/", &more));
    let response = client.response(stream);
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().contains(&format!("HTTP_COOKIE = \"{}\"\n", crumbs.join("; "))), "{}", response.text());
    // The size of a head still limits them, and other fields count one by one.
    let long = "c=".to_owned() + &"1".repeat(100);
    let stream = client.ask(&with("GET", "/", &vec![("cookie", &*long); 41]));
    assert_eq!(client.response(stream).status, 431);
    let stream = client.ask(&with("GET", "/", &[("a", "1"), ("a", "2"), ("a", "3"), ("a", "4")]));
    assert_eq!(client.response(stream).status, 431);
    server.line_with("431 refused: the request has too many header lines");
    assert!(!server.stop().iter().any(|line| line.contains("lint")), "crumbs are not unusual");
}
