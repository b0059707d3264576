//! `--lint`: reports unusual requests.

use wasmserve_tests::server::Server;

use super::start;

/// The clauses that `--lint` reports for a request.
fn findings(server: &Server, exchange: usize, request: &[u8]) -> Vec<String> {
    let mut client = server.connect();
    client.send(request);
    client.end();
    let status = client.response().status;
    // The line of the access log comes last.
    server.lines(exchange, |line| line.starts_with("127.0.0.1 - - "));
    let prefix = format!("[{exchange}] lint: ");
    let log = server.log();
    let lines = log.iter().filter_map(|line| line.strip_prefix(&prefix));
    let clauses = lines.map(|line| {
        let (what, clause) = line.strip_suffix(')').and_then(|line| line.rsplit_once(" (")).expect("a clause");
        assert!(!what.is_empty(), "{line}");
        clause.to_owned()
    });
    let clauses: Vec<String> = clauses.collect();
    assert!(matches!(status, 200 | 400 | 501), "{status}: {}", request.escape_ascii());
    clauses
}

/// Requests, and the clauses that they break.
const ODDITIES: [(&[u8], &[&str]); 33] = [
    (b"GET /a%20b?x HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nAccept: a/b\r\n\r\n", &[]),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabc", &[]),
    (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", &[]),
    (b"GET / HTTP/1.1\nHost: x\n\n", &["RFC 9112 section 2.2"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", &["RFC 9112 section 5.2"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", &["RFC 9112 section 5.1", "RFC 9110 section 17.10"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", &["RFC 9112 section 5"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n", &["RFC 9110 section 5.5"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0\r\n\r\n", &["RFC 9110 section 5.5"]),
    (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 9110 section 9.1"]),
    (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 3986 section 2"]),
    (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 3986 section 2.1"]),
    (b"GET /% HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 3986 section 2.1"]),
    (b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 9112 section 3.2"]),
    (b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 9112 section 3.2.2"]),
    (b"GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 9112 section 3.2.2", "RFC 9112 section 3.2.2"]),
    (b"GET / HTTP/1.0\r\n\r\n", &["RFC 9112 section 3.2"]),
    (b"GET / HTTP/1.1\r\n\r\n", &["RFC 9112 section 3.2"]),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", &["RFC 9112 section 3.2"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", &["RFC 9110 section 5.3"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: a\r\nUser-Agent: b\r\n\r\n", &["RFC 9110 section 5.3"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nX_Foo: 1\r\n\r\n", &["RFC 9110 section 17.10"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nX: caf\xe9\r\n\r\n", &["RFC 9110 section 5.5"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nProxy: y\r\n\r\n", &["CVE-2016-5385"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n", &["RFC 9110 section 10.1.4"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: a\r\n\r\n", &["RFC 9110 section 7.8"]),
    (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &["RFC 9112 section 6.1", "RFC 9112 section 7.1"],
    ),
    (
        b"POST / HTTP/1.0\r\nHost: x\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &["RFC 9112 section 6.1"],
    ),
    (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabc", &["RFC 9110 section 9.3.1"]),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", &["RFC 9110 section 8.3"]),
    (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", &["RFC 9110 section 8.6"]),
    (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", &["RFC 9110 section 10.1.1"]),
    (
        b"POST / HTTP/1.0\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\na",
        &["RFC 9110 section 10.1.1"],
    ),
];

#[test]
fn lint_reports_each_unusual_request_with_its_clause() {
    let server = start("ignores_input", &["--lint"]);
    for (number, (request, clauses)) in ODDITIES.iter().enumerate() {
        assert_eq!(findings(&server, number + 1, request), *clauses, "{}", request.escape_ascii());
    }
    let server = start("ignores_input", &[]);
    for (request, _) in ODDITIES {
        let mut client = server.connect();
        client.send(request);
        client.end();
        _ = client.response();
    }
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains("lint")), "only with --lint: {log:#?}");
}

#[test]
fn lint_escapes_what_it_quotes_once() {
    let server = start("ignores_input", &["--lint"]);
    for (number, (field, shown)) in [
        (&b"A: b\x01"[..], "a control character in `A: b\\x01`"),
        (b"A: \x1b[2J\\", "a control character in `A: \\x1b[2J\\\\`"),
        (b"\xff: b", "`\\xff` can be confused"),
        ("\u{e9}\\x01: b".as_bytes(), "`\u{e9}\\\\x01` can be confused"),
        (b"A\x01b : c", "white space before the colon of `A\\x01b `"),
        (b"A\x02", "a line without a colon: `A\\x02`"),
        (b"A: b\r\n \x03", "obsolete folding: `\\x03`"),
    ]
    .into_iter()
    .enumerate()
    {
        _ = server.ask([b"GET / HTTP/1.1\r\nHost: x\r\n", field, b"\r\n\r\n"].concat());
        server.line_with(&format!("[{}] lint: {shown}", number + 1));
    }
    _ = server.ask(b"g\x01t / HTTP/1.1\r\nHost: x\r\n\r\n");
    server.line_with("[8] lint: methods are case-sensitive, and `g\\x01t` is not a standard one");
}
