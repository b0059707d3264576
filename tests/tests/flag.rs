//! What the flags promise, on the wire and in the log.

use std::{fs, net::TcpListener, path::PathBuf, process::Command};

use serde_json::Value;
use wasmserve_tests::{
    client::{Client, Close, End},
    guest,
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

/// The value of a variable that the guest `environ` tells of.
fn variable<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'));
    let value = values.next();
    assert_eq!(values.next(), None, "`{name}` is there twice");
    value
}

#[test]
fn i8_a_body_in_chunks_that_was_buffered_has_a_length() {
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
    assert_eq!(variable(server.get("/").text(), "CONTENT_LENGTH"), None, "without a body there is nothing to count");

    // Without the flag it is what it is.
    let response = Server::start("environ").ask(post(&chunked(11)));
    assert_eq!(variable(response.text(), "CONTENT_LENGTH"), None);
    assert_eq!(variable(response.text(), "HTTP_TRANSFER_ENCODING"), Some("chunked"));

    let server = start("reads_input", &["--buffer-body", "1KiB"]);
    let body = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n";
    let text = server.ask(post(body)).text().to_ascii_lowercase();
    assert_eq!(text, "11 octets, trailers [(\"x-sum\", \"7\")]\n", "all of it is there to be read");
}

#[test]
fn i8_a_body_beyond_the_buffer_is_a_413_and_the_handler_never_begins() {
    let server = start("reads_input", &["--buffer-body", "1KiB"]);
    for body in [chunked(1025), counted(1025)] {
        let response = server.ask(post(&body));
        assert_eq!((response.status, response.end), (413, End::Whole));
        assert_eq!(response.field("Connection"), Some("close"));
    }
    // The smaller limit counts.
    let strict = start("reads_input", &["--buffer-body", "1KiB", "--max-body", "10"]);
    assert_eq!(strict.ask(post(&chunked(11))).status, 413);
    assert_eq!(strict.ask(post(&chunked(10))).status, 200);
    let log = server.stop();
    assert!(!log.iter().any(|line| line.contains("] log: ")), "{log:#?}");
}

#[test]
fn i8_a_handler_does_not_begin_before_all_of_the_body_is_there() {
    let server = start("reads_input", &["--buffer-body", "1KiB"]);
    let bodies = [
        ("Content-Length: 10\r\n\r\nhello", "400 bad-input"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "400 bad-input"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n", "400 bad-input"),
    ];
    for (exchange, (body, fault)) in bodies.into_iter().enumerate() {
        let mut client = server.connect();
        // Whoever begins with `/eager` says so at once.
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
fn i8_i9_a_client_that_waits_is_told_to_go_on() {
    let server = start("ignores_input", &["--buffer-body", "1KiB"]);
    let mut client = server.connect();
    client.send(post("Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
    assert_eq!(client.head().expect("an interim response").status, 100);
    client.send("hello");
    let response = client.response();
    assert_eq!((response.status, response.text(), response.field("Connection")), (200, "ignored", None));
}

/// Where a request seems to come from, and over what: `REMOTE_ADDR`, `wsgi.url_scheme` and `HTTPS`.
fn origin(server: &Server, fields: &str) -> (String, String, Option<String>) {
    let response = server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    assert_eq!(response.status, 200, "{response:?}");
    let get = |name| variable(response.text(), name).map(ToOwned::to_owned);
    assert_eq!(get("REMOTE_ADDR"), get("REMOTE_HOST"), "E7");
    (get("REMOTE_ADDR").expect("E7"), get("wsgi.url_scheme").expect("E12"), get("HTTPS"))
}

fn plain(addr: &str) -> (String, String, Option<String>) {
    (addr.into(), "http".into(), None)
}

fn tls(addr: &str) -> (String, String, Option<String>) {
    (addr.into(), "https".into(), Some("on".into()))
}

#[test]
fn h11_a_proxy_is_believed_if_it_is_named() {
    let both = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    let trusted = start("environ", &["--forwarded-allow-ips", "10.0.0.1,127.0.0.1"]);
    assert_eq!(origin(&trusted, both), tls("192.0.2.7"));
    assert_eq!(origin(&trusted, ""), plain("127.0.0.1"));
    assert_eq!(origin(&trusted, "X-Forwarded-For: 192.0.2.7\r\n"), plain("192.0.2.7"));
    assert_eq!(origin(&trusted, "X-Forwarded-Proto: HTTPS\r\n"), tls("127.0.0.1"));

    for flags in [&[][..], &["--forwarded-allow-ips", "192.0.2.1"]] {
        let server = start("environ", flags);
        assert_eq!(origin(&server, both), plain("127.0.0.1"), "{flags:?}");
        let text = server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{both}\r\n")).text().to_owned();
        assert_eq!(variable(&text, "HTTP_X_FORWARDED_FOR"), Some("192.0.2.7"), "it is a header like others: {text}");
    }
}

#[test]
fn h11_the_client_is_the_last_hop_that_is_no_proxy_of_ours() {
    let server = start("environ", &["--forwarded-allow-ips", "127.0.0.1,10.0.0.1,2001:db8::1"]);
    let hops = |value: &str| origin(&server, &format!("X-Forwarded-For: {value}\r\n")).0;
    assert_eq!(hops("6.6.6.6, 192.0.2.7"), "192.0.2.7", "what a client says of itself is not believed");
    assert_eq!(hops("6.6.6.6, 192.0.2.7, 10.0.0.1"), "192.0.2.7");
    assert_eq!(hops("192.0.2.7\r\nX-Forwarded-For: 10.0.0.1"), "192.0.2.7");
    assert_eq!(hops("192.0.2.7:4711, 10.0.0.1:80"), "192.0.2.7");
    assert_eq!(hops("2001:db8::7, 2001:db8::1"), "2001:db8::7");
    assert_eq!(hops("[2001:db8::7]:4711"), "2001:db8::7");
    assert_eq!(hops("::ffff:192.0.2.7, ::ffff:10.0.0.1"), "192.0.2.7");
    assert_eq!(hops("10.0.0.1"), "127.0.0.1", "only proxies: nobody knows more");
    for garbage in ["", ",", "unknown", "192.0.2.7, _hidden", "999.1.1.1", "192.0.2", "<script>", "[::1", "\u{e9}"] {
        assert_eq!(hops(garbage), "127.0.0.1", "{garbage:?}");
    }
}

#[test]
fn h11_a_scheme_that_contradicts_itself_is_a_400() {
    let server = start("environ", &["--forwarded-allow-ips", "127.0.0.1"]);
    let twice = |a, b| format!("X-Forwarded-Proto: {a}\r\nX-Forwarded-Proto: {b}\r\n");
    let response = server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", twice("https", "http")));
    assert_eq!((response.status, response.field("Connection")), (400, Some("close")));
    server.line_with("[1] 400 refused: X-Forwarded-Proto contradicts itself");
    assert_eq!(origin(&server, &twice("https", "HTTPS")), tls("127.0.0.1"));
    assert_eq!(origin(&server, "X-Forwarded-Proto: gopher\r\n"), plain("127.0.0.1"), "nobody knows that");
}

#[test]
fn h11_a_proxy_may_have_an_address_of_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        // This machine has none.
        return;
    }
    let start = |trusted: &str| {
        let flags = ["--addr", "[::1]:0", "--forwarded-allow-ips", trusted].map(PathBuf::from);
        Launch::bare().flags([guest::program("environ")]).flags(flags).start()
    };
    assert_eq!(origin(&start("::1"), "X-Forwarded-For: 192.0.2.7\r\n"), plain("192.0.2.7"));
    assert_eq!(origin(&start("0:0::0:1"), "X-Forwarded-For: 2001:DB8:0::7\r\n"), plain("2001:db8::7"));
    assert_eq!(origin(&start("127.0.0.1"), "X-Forwarded-For: 192.0.2.7\r\n"), plain("::1"));
}

/// Makes requests of every kind of end, and gives the log.
fn exchanges(format: &str) -> Vec<String> {
    // Local time is five and a half hours ahead.
    let server = Launch::program("misbehaves").flags(["--access-log-format", format]).env("TZ", "TST-5:30").start();
    let told = "Referer: http://x/\"\r\nUser-Agent: a\\b\r\n";
    assert_eq!(server.ask("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    assert_eq!(server.ask(format!("GET /told?a=b HTTP/1.1\r\nHost: x\r\n{told}\r\n")).status, 200);
    let mut client = server.connect();
    client.send("HEAD /head HTTP/1.0\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
    assert_eq!(server.get("/traps").status, 500);
    assert_eq!(server.ask("GET /no-host HTTP/1.1\r\n\r\n").status, 400);
    assert_eq!(server.ask("GET /\"bad\" field\r\n\r\n").status, 400);
    let mut client = server.connect();
    client.send("GET /streams HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().expect("it begins").status, 200);
    drop(client);
    server.stop().iter().skip(1).map(ToOwned::to_owned).collect()
}

/// The times in brackets, which must look like that (digits as 9, letters as a), and the lines without them.
fn untimed(log: &[String], shape: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in log.iter().filter(|line| !line.starts_with('[')) {
        let (peer, rest) = line.split_once('[').unwrap_or_else(|| panic!("no time: {line}"));
        let (time, rest) = rest.split_once(']').unwrap_or_else(|| panic!("no time: {line}"));
        let signs = time.chars().map(|char| match char {
            '0'..='9' => '9',
            'A'..='Z' | 'a'..='z' => 'a',
            other => other,
        });
        assert_eq!(signs.collect::<String>(), shape, "{line}");
        lines.push(format!("{peer}[]{rest}"));
    }
    lines.sort_unstable();
    lines
}

#[test]
fn l1_l5_basehttp_is_the_default_and_looks_like_pythons() {
    let lines = untimed(&exchanges("basehttp"), "99/aaa/9999 99:99:99");
    assert_eq!(
        lines,
        [
            r#"127.0.0.1 - - [] "GET /\"bad\" field" 400 -"#,
            r#"127.0.0.1 - - [] "GET /no-host HTTP/1.1" 400 -"#,
            r#"127.0.0.1 - - [] "GET /plain HTTP/1.1" 200 -"#,
            r#"127.0.0.1 - - [] "GET /streams HTTP/1.1" 499 -"#,
            r#"127.0.0.1 - - [] "GET /told?a=b HTTP/1.1" 200 -"#,
            r#"127.0.0.1 - - [] "GET /traps HTTP/1.1" 500 -"#,
            r#"127.0.0.1 - - [] "HEAD /head HTTP/1.0" 200 -"#,
        ]
    );
    let server = Server::start("hello");
    assert_eq!(server.get("/").status, 200);
    assert_eq!(untimed(&server.stop()[1..], "99/aaa/9999 99:99:99"), ["127.0.0.1 - - [] \"GET / HTTP/1.1\" 200 -"]);
}

/// The line of the exchange that was left, without what it has sent.
fn without_size(line: &str) -> String {
    match line.split_once("\" 499 ") {
        Some((before, after)) => {
            format!("{before}\" 499 {}", after.trim_start_matches(|char: char| char.is_ascii_digit()))
        }
        None => line.to_owned(),
    }
}

/// The octets that the host says of a fault by itself.
const TRAPPED: usize = "500 Internal Server Error: the handler failed (exchange 4)\n".len();

#[test]
fn l2_l3_l4_l5_common_and_combined_look_like_those_of_apache() {
    const SHAPE: &str = "99/aaa/9999:99:99:99 +9999";
    let log = exchanges("common");
    assert!(log.iter().any(|line| line.contains(" +0530] ")), "in local time: {log:#?}");
    let common: Vec<String> = untimed(&log, SHAPE).iter().map(|line| without_size(line)).collect();
    let refused = log.iter().find_map(|line| line.split_once("no-host HTTP/1.1\" 400 ")).expect("it has a line").1;
    let expected = [
        // hyper's own answer has no body.
        r#"127.0.0.1 - - [] "GET /\"bad\" field" 400 89"#.to_owned(),
        format!(r#"127.0.0.1 - - [] "GET /no-host HTTP/1.1" 400 {refused}"#),
        r#"127.0.0.1 - - [] "GET /plain HTTP/1.1" 200 4"#.to_owned(),
        r#"127.0.0.1 - - [] "GET /streams HTTP/1.1" 499 "#.to_owned(),
        r#"127.0.0.1 - - [] "GET /told?a=b HTTP/1.1" 200 4"#.to_owned(),
        format!(r#"127.0.0.1 - - [] "GET /traps HTTP/1.1" 500 {TRAPPED}"#),
        r#"127.0.0.1 - - [] "HEAD /head HTTP/1.0" 200 -"#.to_owned(),
    ];
    assert_eq!(common, expected);
    assert!(refused.parse::<u32>().is_ok_and(|size| size > 0), "{refused}");

    let log = exchanges("combined");
    let combined: Vec<String> = untimed(&log, SHAPE).iter().map(|line| without_size(line)).collect();
    let with_fields = expected.map(|line| {
        let fields = if line.contains("/told") { r#""http://x/\"" "a\\b""# } else { r#""-" "-""# };
        format!("{line} {fields}")
    });
    assert_eq!(combined, with_fields);
}

#[test]
fn l5_l6_json_is_one_object_for_each_request() {
    let log = exchanges("json");
    let objects: Vec<Value> = log
        .iter()
        .filter(|line| !line.starts_with('['))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let mut told: Vec<(&str, u64)> = objects
        .iter()
        .map(|object| (object["request"].as_str().expect("text"), object["status"].as_u64().expect("a number")))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("GET /\"bad\" field", 400),
            ("GET /no-host HTTP/1.1", 400),
            ("GET /plain HTTP/1.1", 200),
            ("GET /streams HTTP/1.1", 499),
            ("GET /told?a=b HTTP/1.1", 200),
            ("GET /traps HTTP/1.1", 500),
            ("HEAD /head HTTP/1.0", 200),
        ]
    );
    let mut ids: Vec<u64> = objects.iter().map(|object| object["id"].as_u64().expect("a number")).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7], "each exchange has its own");
    for object in &objects {
        assert_eq!(object["remote"], "127.0.0.1");
        assert!(object["took_us"].is_u64() && object["sent"].is_u64(), "{object}");
        let time = object["time"].as_str().expect("text");
        assert!(time.len() >= "2026-11-21T12:00:00Z".len() && time.contains('T') && time.ends_with('Z'), "{time}");
        if object["request"] == "GET /told?a=b HTTP/1.1" {
            assert_eq!((&object["referer"], &object["user_agent"]), (&"http://x/\"".into(), &"a\\\\b".into()));
        } else {
            assert_eq!((&object["referer"], &object["user_agent"]), (&Value::Null, &Value::Null));
        }
    }
}

#[test]
fn without_an_access_log_faults_are_still_told() {
    let log = exchanges("none");
    assert!(log.iter().all(|line| line.starts_with('[')), "{log:#?}");
    assert!(log.iter().any(|line| line.starts_with("[4] 500 trap: ")), "{log:#?}");
    assert!(log.iter().any(|line| line.starts_with("[5] 400 refused: ")), "{log:#?}");
}

#[test]
fn s12_the_server_field_is_the_users() {
    let field = |flags: &[&str], query: &str| {
        let response = start("starts_as_told", flags).get(&format!("/?chunk=a{query}"));
        assert_eq!(response.status, 200);
        response.field("Server").map(ToOwned::to_owned)
    };
    assert!(field(&[], "").is_some_and(|server| server.starts_with("wasmserve/")));
    assert_eq!(field(&["--server-header", "mine/1 (x)"], "").as_deref(), Some("mine/1 (x)"));
    assert_eq!(field(&["--server-header", ""], ""), None);
    for flags in [&[][..], &["--server-header", "mine/1"], &["--server-header", ""]] {
        assert_eq!(field(flags, "&field=Server:own").as_deref(), Some("own"), "the handler knows better");
    }
    // The host's own answers have it too.
    let server = start("traps", &["--server-header", "mine/1"]);
    assert_eq!(server.get("/").field("Server"), Some("mine/1"));
    assert_eq!(server.ask("GET / HTTP/1.1\r\n\r\n").field("Server"), Some("mine/1"));
}

/// How many connections from that port wait for stragglers (`TIME_WAIT`).
fn time_waits(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux tells");
    let local = format!("0100007F:{port:04X}");
    let states = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[1] == local).then_some(fields[3] == "06")
    });
    states.filter(|is_waiting| *is_waiting).count()
}

/// Has the server close a connection: how the client sees it.
fn closed(server: &Server) -> Close {
    let mut client: Client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let response = client.response();
    assert_eq!((response.text(), response.end), ("Hello, World!\n", End::Whole));
    let (rest, close) = client.rest();
    assert_eq!(rest, b"");
    close
}

#[test]
fn linger_0s_resets_connections_and_leaves_nothing_waiting() {
    let server = start("hello", &["--linger", "0s"]);
    for _ in 0..10 {
        assert_eq!(closed(&server), Close::Reset, "after the data");
    }
    assert_eq!(time_waits(server.addr().port()), 0);
    assert_eq!(server.get("/").status, 200);
    server.stop();

    let server = start("hello", &["--linger", "1s"]);
    assert_eq!(closed(&server), Close::Orderly);
    server.stop();
}

#[test]
fn a_server_that_is_started_again_listens_at_once() {
    for flags in [&[][..], &["--linger", "0s"]] {
        let server = start("hello", flags);
        let addr = server.addr();
        for _ in 0..10 {
            closed(&server);
        }
        let waiting = time_waits(addr.port());
        assert!(waiting > 0 || !flags.is_empty(), "there is something in the way");
        // Killed, without any goodbye.
        drop(server);
        let again = Launch::bare().flags([guest::program("hello")]).flags(["--addr", &addr.to_string()]).flags(flags);
        let server = again.start();
        assert_eq!(server.addr(), addr);
        assert_eq!(server.get("/").status, 200);
    }
}

/// What `--lint` says of a request: the clauses.
fn findings(server: &Server, exchange: usize, request: &[u8]) -> Vec<String> {
    let mut client = server.connect();
    client.send(request);
    client.end();
    let status = client.response().status;
    // The line of the access log comes after all others.
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
fn lint_tells_what_is_odd_in_each_request_and_the_clause_that_says_so() {
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
    assert!(!log.iter().any(|line| line.contains("lint")), "nobody has asked: {log:#?}");
}

#[test]
fn lint_has_nothing_to_say_of_curl() {
    let server = start("echo", &["--lint"]);
    let url = format!("http://{}/a%20b?c=d", server.addr());
    let words: [&[&str]; 8] = [
        &[],
        &["-I"],
        &["--http1.0"],
        &["--http2-prior-knowledge"],
        &["-d", "abc=def"],
        &["-F", "abc=def"],
        &["-X", "DELETE"],
        &["-u", "me:secret", "-e", "http://x/", "--compressed", "-b", "a=1; b=2", "-r", "0-9"],
    ];
    for words in words {
        let output = Command::new("curl").args(["-sS", "--max-time", "60"]).args(words).arg(&url).output();
        let output =
            output.unwrap_or_else(|error| panic!("`curl` is needed for this test, and does not start: {error}"));
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let log = server.stop();
    let lint: Vec<_> = log.iter().filter(|line| line.contains("lint: ")).collect();
    assert!(lint.is_empty(), "{lint:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("\" 200 -")).count(), words.len(), "{log:#?}");
}

#[test]
fn i7_max_body_counts_what_comes_whatever_was_said() {
    let server = start("reads_input", &["--max-body", "0"]);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.ask(post("Content-Length: 0\r\n\r\n")).status, 200);
    assert_eq!(server.ask(post("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")).status, 200);
    for body in [chunked(1), counted(1)] {
        let response = server.ask(post(&body));
        assert_eq!((response.status, response.field("Connection")), (413, Some("close")));
    }
    // Nobody waits for what would be refused anyway.
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
