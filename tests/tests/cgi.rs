//! CGI programs keep the promises that other handlers keep, and those of RFC 3875.

use std::{fs, io::Write as _, net::TcpListener};

use rustix::process::Signal;
use wasmserve_tests::{
    cgi::CASES,
    client::{Client, End, Response, with_length},
    guest,
    http2::{self, Http2},
    place::Place,
    server::{Launch, Server, refuses},
};

fn server(flags: &[&str]) -> Server {
    Launch::program("answers_as_cgi").flags(flags).start()
}

/// The lines of a whole 200.
fn lines(response: &Response) -> Vec<&str> {
    assert_eq!((response.status, response.end), (200, End::Whole), "{}", response.text());
    response.text().lines().collect()
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[test]
fn every_case_is_answered_as_it_says() {
    let place = Place::new();
    fs::copy(guest::program("answers_as_cgi"), place.join("nph-x.wasm")).expect("a place is writable");
    let server = Launch::program("answers_as_cgi").at(&place).flags(["--mount", "/nph=nph-x.wasm"]).start();
    for case in CASES.iter() {
        let mount = if case.is_nph { "/nph" } else { "" };
        let response = server.ask(post(&format!("{mount}/prints-what-it-reads"), &case.output));
        if let Some(error) = &case.error {
            assert_eq!(
                (response.status, response.field("wasmserve-fault")),
                (500, Some("bad-cgi-head")),
                "{}: {}",
                case.name,
                response.text()
            );
            // What is escaped in the message is escaped once more in the log.
            let shown = error.replace('\\', "\\\\");
            server.line(|line| line.contains("500 bad-cgi-head: ") && (line.contains(error) || line.contains(&shown)));
            continue;
        }
        if let Some(location) = &case.location {
            assert_eq!(lines(&response), [format!("GET {location}")], "{}", case.name);
            continue;
        }
        let (code, reason) =
            case.status.as_deref().map(|status| status.split_once(' ').unwrap_or((status, ""))).expect("a status");
        assert_eq!(response.status.to_string(), code, "{}", case.name);
        assert!(reason.is_empty() || response.reason == reason, "{}: {}", case.name, response.reason);
        for (name, value) in &case.fields {
            assert!(response.values(name).contains(&&**value), "{}: {name}", case.name);
        }
        assert_eq!((&response.body, response.end), (&case.body, End::Whole), "{}", case.name);
    }
}

#[test]
fn the_request_is_in_the_environment() {
    let server = server(&["--env", "GREETING=hi", "--env", "a.b=c"]);
    let response = server.ask(
        "PATCH /describes?a=%20&b HTTP/1.1\r\nHost: example:81\r\nContent-Type: a/b\r\nContent-Length: 2\r\nX-A: 1\r\n\
         x-a: 2\r\nCookie: c=1\r\nCookie: d=2\r\nAuthorization: Basic x\r\nProxy: evil\r\nX_B: evil\r\n\r\nhi",
    );
    let lines = lines(&response);
    for line in [
        "argument 0: answers_as_cgi.wasm",
        "CONTENT_LENGTH=2",
        "CONTENT_TYPE=a/b",
        "GATEWAY_INTERFACE=CGI/1.1",
        "PATH_INFO=/describes",
        "QUERY_STRING=a=%20&b",
        "REMOTE_ADDR=127.0.0.1",
        "REMOTE_HOST=127.0.0.1",
        "REQUEST_METHOD=PATCH",
        "REQUEST_URI=/describes?a=%20&b",
        "SCRIPT_NAME=",
        "SERVER_NAME=127.0.0.1",
        &format!("SERVER_PORT={}", server.addr().port()),
        "SERVER_PROTOCOL=HTTP/1.1",
        "HTTP_HOST=example:81",
        "HTTP_X_A=1, 2",
        "HTTP_COOKIE=c=1; d=2",
        "HTTP_AUTHORIZATION=Basic x",
        "GREETING=hi",
        "a.b=c",
    ] {
        assert!(lines.contains(&line), "{line}: {lines:#?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("SERVER_SOFTWARE=wasmserve/")));
    for absent in
        ["HTTP_PROXY=", "HTTP_X_B=", "HTTP_CONTENT_", "AUTH_TYPE=", "REMOTE_USER=", "PATH_TRANSLATED=", "wsgi", "PATH="]
    {
        assert!(!lines.iter().any(|line| line.starts_with(absent)), "{absent}: {lines:#?}");
    }
    let bare = server.get("/describes");
    assert!(!self::lines(&bare).iter().any(|line| line.starts_with("CONTENT_")), "{}", bare.text());
}

#[test]
fn g7_variables_are_utf_8_and_a_path_with_a_nul_is_refused() {
    let server = server(&[]);
    let response = server.ask(&b"GET /describes HTTP/1.1\r\nHost: x\r\nX-A: caf\xc3\xa9 caf\xe9\r\n\r\n"[..]);
    assert!(lines(&response).contains(&"HTTP_X_A=café caf\u{fffd}"), "{}", response.text());
    let refused = server.get("/secret.txt%00.jpg");
    assert_eq!((refused.status, refused.field("wasmserve-fault")), (400, Some("refused")));
    server.line_with("the path contains a NUL");
    assert_eq!(server.get("/a%FF").text(), "GET /a%FF", "the exact bytes are in REQUEST_URI");
}

#[test]
fn g6_arguments_come_from_flags_and_then_from_the_query() {
    let mount = format!("/app={}", guest::program("answers_as_cgi").display());
    let flags = ["--arg", "-v", "--arg", "two words", "--arg=/other:x", "--arg", "/app:own", "--mount", &mount];
    let server = server(&flags);
    let arguments = |target: &str| -> Vec<String> {
        let lines = server.get(target).text().lines().map(str::to_owned).collect::<Vec<_>>();
        lines
            .iter()
            .filter_map(|line| Some(line.strip_prefix("argument ")?.split_once(": ")?.1.to_owned()))
            .skip(1)
            .collect()
    };
    assert_eq!(arguments("/describes"), ["-v", "two words", "/other:x"]);
    assert_eq!(arguments("/describes?a+b%20c"), ["-v", "two words", "/other:x", "a", "b c"]);
    assert_eq!(arguments("/describes?a=b"), ["-v", "two words", "/other:x"]);
    assert_eq!(arguments("/describes?a+-r"), ["-v", "two words", "/other:x"]);
    assert_eq!(arguments("/app/describes?a"), ["-v", "two words", "/other:x", "own", "a"]);
}

#[test]
fn a_program_may_do_what_is_granted_and_nothing_else() {
    let place = Place::new();
    place.file("greeting", "hi");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("the socket is bound");
    let denied = server(&[]);
    assert!(denied.get("/reads-a-file?/data/greeting").text().starts_with("Err("));
    denied.line_with("allow it with --dir HOST::/data");
    assert!(denied.get(&format!("/connects?{addr}")).text().starts_with("Err("));
    denied.line_with(&format!("connection to {addr} denied; allow it with --allow-net {addr}"));

    let dir = format!("{}::/data:ro", place.display());
    let granted = server(&["--dir", &dir, "--allow-net", &addr.to_string()]);
    assert_eq!(granted.get("/reads-a-file?/data/greeting").text(), "Ok(\"hi\")");
    assert_eq!(granted.get(&format!("/connects?{addr}")).text(), "Ok(())");
}

#[test]
fn p1_a_program_may_finish_when_the_server_is_asked_to_stop() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("POST /echoes HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\none\n");
    let head = client.head().expect("a response");
    let mut sender = client.sender();
    let mut body = client.body(&head);
    assert_eq!(body.next().as_deref(), Some(&b"one\n"[..]));
    server.signal(Signal::TERM);
    sender.write_all(b"two\n").expect("the server reads");
    assert_eq!(body.next().as_deref(), Some(&b"two\n"[..]));
    assert_eq!((body.next(), body.end()), (None, End::Whole));
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn arguments_are_for_other_handlers_too() {
    let server = Launch::program("reads_env").flags(["--arg", "-v"]).start();
    assert_eq!(server.get("/arguments").text(), r#"["handler", "-v"]"#);
    assert_eq!(Launch::program("reads_env").start().get("/arguments").text(), "[]");
}

#[test]
fn e3_a_mounted_program_knows_its_mount() {
    let mount = format!("/app={}", guest::program("answers_as_cgi").display());
    let server = Launch::program("hello").flags(["--mount", &mount]).start();
    let response = server.get("/app/describes");
    assert!(lines(&response).contains(&"SCRIPT_NAME=/app") && lines(&response).contains(&"PATH_INFO=/describes"));
}

#[test]
fn the_body_of_the_request_is_stdin() {
    let server = server(&[]);
    assert_eq!(server.ask(post("/echoes", b"hello")).text(), "hello");
    assert_eq!(server.ask(post("/counts", b"hello")).text(), "5 of 5");
    assert_eq!(server.get("/counts").text(), "0 of no length");
    let all = vec![b'x'; 3 << 20];
    assert_eq!(server.ask(post("/echoes", &all)).body, all);
}

fn chunked(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(100_000) {
        request.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[test]
fn g8_a_body_in_chunks_has_a_length_up_to_a_bound_and_arrives_beyond_it() {
    let server = server(&["--max-body", "2MiB"]);
    for (size, length) in
        [(0, "0"), (5, "5"), (1 << 20, "1048576"), ((1 << 20) + 1, "no length"), (2 << 20, "no length")]
    {
        let response = server.ask(chunked("/counts", &vec![b'x'; size]));
        assert_eq!(response.text(), format!("{size} of {length}"));
    }
    let large = server.ask(chunked("/counts", &vec![b'x'; (2 << 20) + 1]));
    assert_eq!((large.status, large.field("wasmserve-fault")), (413, Some("body-too-large")));
    assert_eq!(server.get("/counts").text(), "0 of no length");
}

#[test]
fn g8_i8_buffer_body_is_a_limit_for_programs_too() {
    let server = server(&["--buffer-body", "10"]);
    assert_eq!(server.ask(chunked("/counts", b"hello")).text(), "5 of 5");
    assert_eq!(server.ask(chunked("/counts", b"hello world")).status, 413);
}

#[test]
fn g8_a_body_that_fails_while_it_is_measured_never_reaches_the_program() {
    let server = server(&["--body-timeout", "200ms"]);
    let begin = "POST /prints-what-it-reads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let malformed = server.ask(format!("{begin}5\r\nhelloX"));
    assert_eq!((malformed.status, malformed.field("wasmserve-fault")), (400, Some("bad-input")));
    let slow = server.ask(format!("{begin}5\r\nhel"));
    assert_eq!((slow.status, slow.field("wasmserve-fault")), (408, Some("bad-input")));
    let mut client = server.connect();
    client.send(format!("{begin}5\r\nhel"));
    drop(client);
    server.line_with("400 bad-input: the request body ended early (POST /prints-what-it-reads HTTP/1.1)");
    assert_eq!(server.get("/counts").text(), "0 of no length");
}

#[test]
fn i10_a_client_that_waits_for_100_continue_gets_it() {
    let server = server(&[]);
    for (framing, body) in [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")] {
        let mut client = server.connect();
        client.send(format!("POST /counts HTTP/1.1\r\nHost: x\r\n{framing}\r\nExpect: 100-continue\r\n\r\n"));
        assert_eq!(client.head().expect("an interim response").status, 100);
        client.send(body);
        assert_eq!(client.response().text(), "5 of 5");
    }
}

#[test]
fn g3_a_local_redirect_is_answered_in_the_same_exchange() {
    let mount = format!("/hello={}", guest::program("hello").display());
    let server = server(&["--mount", &mount]);
    assert_eq!(server.get("/redirects?/other?a=b").text(), "GET /other?a=b");
    assert_eq!(server.get("/redirects?/hello").text(), "Hello, World!\n", "another handler");
    let posted = server.ask(post("/redirects?/describes", b"hello"));
    assert!(lines(&posted).contains(&"REQUEST_METHOD=GET"));
    assert!(!lines(&posted).iter().any(|line| line.starts_with("CONTENT_")), "{}", posted.text());
    assert_eq!(server.ask(post("/redirects?/counts", b"hello")).text(), "0 of no length");
    assert_eq!(server.get("/redirects-late?/other").text(), "GET /other", "from the slow lane");
    let mut client = server.connect();
    client.send("HEAD /redirects?/other HTTP/1.1\r\nHost: x\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
    assert_eq!(client.response().text(), "GET /a");
    server.line_with("\"GET /redirects?/other?a=b HTTP/1.1\" 200");
}

#[test]
fn g3_f36_redirects_in_a_circle_are_a_fault() {
    let server = server(&["--max-exchanges", "1"]);
    let looped = server.get("/redirects-to-itself");
    assert_eq!((looped.status, looped.field("wasmserve-fault")), (500, Some("redirect-loop")));
    server.line_with("500 redirect-loop: the handlers redirect in a circle");
    let failed = server.get("/redirects-and-fails");
    assert_eq!((failed.status, failed.field("wasmserve-fault")), (500, Some("exited")));
    let missing = Launch::bare()
        .flags(["--addr", "127.0.0.1:0", "--mount"])
        .flags([format!("/cgi={}", guest::program("answers_as_cgi").display())])
        .start();
    assert_eq!(missing.get("/cgi/redirects?/nowhere").status, 404);
    assert_eq!(server.get("/a").text(), "GET /a");
}

#[test]
fn g3_g8_http2_makes_no_difference() {
    let server = server(&[]);
    let mut client = Http2::connect(server.addr());
    let stream = client.begin(&http2::fields("POST", "/counts"));
    client.last(stream, "hello");
    assert_eq!(client.response(stream).text(), "5 of 5");
    assert_eq!(client.get("/redirects?/other").text(), "GET /other");
    let described = client.get("/redirects?/describes");
    assert!(described.text().contains("SERVER_PROTOCOL=HTTP/2\n") && described.text().contains("HTTP_HOST=test\n"));
}

/// A misdeed: its path, the status, the kind of the fault, and a part of the reason in the log.
type Misdeed = (&'static str, u16, &'static str, &'static str);

#[test]
fn f35_a_program_that_fails_before_its_response_is_answered_for() {
    // Each server has at most one short limit, so that a busy machine does not change what ends a program.
    let (computed, late) = (server(&["--cpu-time", "1s"]), server(&["--timeout", "2s"]));
    let misdeeds: [Misdeed; 8] = [
        ("/prints-nothing", 500, "bad-cgi-head", "it printed nothing; print `Content-Type: text/plain`"),
        ("/exits?0", 500, "bad-cgi-head", "it printed nothing"),
        ("/exits?7", 500, "exited", "exit(1)"),
        ("/fails", 500, "exited", "exit(1)"),
        ("/panics", 500, "trap", "panicked at "),
        ("/spins", 504, "cpu-limit", "--cpu-time"),
        ("/sleeps", 504, "wall-limit", "in `wasi:io/poll.block`"),
        ("/fills-memory", 500, "memory-limit", "--max-memory"),
    ];
    for (path, status, kind, reason) in misdeeds {
        let server = if kind == "wall-limit" { &late } else { &computed };
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\nGET /counts HTTP/1.1\r\nHost: x\r\n\r\n"));
        let failed = client.response();
        assert_eq!((failed.status, failed.field("wasmserve-fault")), (status, Some(kind)), "{path}");
        assert_eq!(client.response().text(), "0 of no length", "the next request after {path}");
        let line = server
            .line(|line| line.contains(&format!(" {kind}: ")) && line.ends_with(&format!("(GET {path} HTTP/1.1)")));
        assert!(line.contains(reason), "{line}");
    }
    computed.line_with("stderr: nothing to say");
    computed.line_with("stderr: Error: \"no luck\"");
}

#[test]
fn g9_x3_a_response_that_was_cut_never_looks_complete() {
    // Each server has at most one short limit, so that a busy machine does not change what ends a program.
    let itself: [&str; 0] = [];
    let (computed, late) = (["--cpu-time", "1s"], ["--timeout", "4s"]);
    let misdeeds = [
        ("/writes-less-than-declared", &itself[..], "short-body", "5 bytes less"),
        ("/panics-in-the-body", &itself, "trap", "panicked at "),
        ("/exits-in-the-body?7", &itself, "exited", "exit(1)"),
        ("/fails-in-the-body", &itself, "exited", "exit(1)"),
        ("/spins-in-the-body", &computed, "cpu-limit", "--cpu-time"),
        ("/sleeps-in-the-body", &late, "wall-limit", "in `wasi:io/poll.block`"),
    ];
    for (path, flags, kind, reason) in misdeeds {
        let server = server(flags);
        let cut = server.get(path);
        assert_eq!((cut.status, cut.text(), cut.end), (200, "some\n", End::Cut), "{path}");
        let line = server
            .line(|line| line.contains(&format!(" {kind}: ")) && line.ends_with(&format!("(GET {path} HTTP/1.1)")));
        assert!(line.contains(reason), "{line}");
        assert_eq!(server.get("/counts").text(), "0 of no length", "the next request after {path}");
    }
    let server = server(&[]);
    let exited = server.get("/exits-in-the-body?0");
    assert_eq!((exited.text(), exited.end), ("some\n", End::Whole));
}

#[test]
fn s6_to_s10_a_head_that_must_not_be_sent_is_a_fault() {
    let server = server(&[]);
    for (head, reason) in [
        ("Status: 100 Continue", "the status is not three digits from 200 to 999"),
        ("Status: fine", "the status is not three digits"),
        ("Content-Length: many", "`Content-Length`: the value is not a single valid number"),
        ("Transfer-Encoding: chunked", "`transfer-encoding` is a hop-by-hop field"),
        ("X-A: a\rb", "`X-A`: the value has a control character"),
    ] {
        let failed = server.ask(post("/prints-what-it-reads", format!("{head}\n\nhi").as_bytes()));
        assert_eq!((failed.status, failed.field("wasmserve-fault")), (500, Some("bad-response-head")), "{head}");
        server.line_with(reason);
    }
}

#[test]
fn b1_a_body_longer_than_declared_is_cut_off_with_a_note() {
    let server = server(&[]);
    let response = server.get("/writes-more-than-declared");
    assert_eq!((response.text(), response.end), ("some\n", End::Whole));
    server.line_with("note: 5 bytes beyond the Content-Length were cut off");
}

#[test]
fn g10_a_short_response_has_its_length_and_one_that_takes_longer_is_streamed() {
    let server = server(&["--cpu-time", "20s"]);
    let short = with_length(|| server.get("/describes"));
    assert_eq!(short.field("content-length"), Some(&*short.body.len().to_string()));
    let long = server.get("/writes-much");
    assert_eq!((long.body.len(), long.field("transfer-encoding")), (1_000_000, Some("chunked")));

    // What was printed is there although the program sleeps, reads or computes.
    let mut client = server.connect();
    client.send("GET /sleeps-in-the-body HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(first_chunk(&mut client), b"some\n");
    let mut client = server.connect();
    client.send("GET /computes HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(first_chunk(&mut client), b"one\n");
    let mut client = server.connect();
    client.send("POST /echoes HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\none\n");
    let head = client.head().expect("the response begins before the request has ended");
    let mut sender = client.sender();
    let mut body = client.body(&head);
    assert_eq!(body.next().as_deref(), Some(&b"one\n"[..]));
    sender.write_all(b"two\n").expect("the server reads");
    assert_eq!(body.next().as_deref(), Some(&b"two\n"[..]));
}

fn first_chunk(client: &mut Client) -> Vec<u8> {
    let head = client.head().expect("a response");
    client.body(&head).next().expect("a chunk")
}

#[test]
fn b9_a_response_to_head_has_no_body() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nGET /counts HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
    assert_eq!(client.response().text(), "0 of no length");
}

#[test]
fn i5_a_client_that_leaves_in_its_body_is_not_the_programs_fault() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("POST /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    drop(client);
    server.line_with("400 bad-input: the request body ended early (POST /reads HTTP/1.1)");
    assert_eq!(server.get("/counts").text(), "0 of no length");
}

#[test]
fn i12_a_body_that_stops_coming_is_a_408() {
    let server = server(&["--body-timeout", "200ms"]);
    let failed = server.ask("POST /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!((failed.status, failed.field("wasmserve-fault")), (408, Some("bad-input")));
    assert_eq!(server.get("/counts").text(), "0 of no length");
}

#[test]
fn k10_a_program_finds_stdout_closed_when_the_client_has_left() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("GET /writes-forever HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().expect("a response").status, 200);
    drop(client);
    server.line_with("stderr: stdout is closed");
}

#[test]
fn p3_a_report_shows_what_a_program_waits_for_and_where() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("POST /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    server.ask_by(Signal::QUIT, |log| {
        log.iter().any(|line| line.contains("waiting in `wasi:io/streams.blocking-read` for "))
            && log.iter().any(|line| line.contains("at answers_as_cgi::read_all"))
    });
    client.send("hello");
    assert_eq!(client.response().text(), "5 bytes");
}

#[test]
fn a_program_for_wasi_0_1_is_served_and_served_anew() {
    let place = Place::new();
    let module = fs::read(guest::program("answers_for_wasi_0_1")).expect("the guest is readable");
    let path = place.file("old.wasm", &module);
    let server = Launch::file(&path).flags(["--arg", "a b"]).start();
    let response = server.ask(post("/", b"hello"));
    assert_eq!((response.text(), response.field("content-type")), ("old.wasm\0a b\0hello", Some("text/plain")));
    // The same with another answer: a custom section makes another file of it.
    place.file("old.wasm", [&module[..], b"\0\x02\x01x"].concat());
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "old.wasm\0a b\0");
    let inspected = Launch::bare().flags(["inspect".as_ref(), path.as_os_str()]).run();
    assert!(inspected.stdout.contains("a CGI program of WASI 0.1"), "{inspected:?}");
    assert!(inspected.stdout.contains("the body of the request"), "{inspected:?}");
}

#[test]
fn a_program_of_go_and_the_adapter_do_not_share_memory() {
    // It takes each page for its own, as Go's runtime does, whatever else has grown the memory.
    let program = r#"(module
        (@producers (language "Go" "go1.27"))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\1c\00\00\00")
        (data (i32.const 16) "Content-Type: text/plain\0a\0ahi")
        (func (export "_start") (local $end i32)
            (local.set $end (i32.mul (memory.size) (i32.const 65536)))
            (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
            (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1))
                (then (memory.fill (local.get $end) (i32.const 255) (i32.const 65536))))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let place = Place::new();
    let path = place.file("go.wasm", wat::parse_str(program).expect("valid WAT"));
    for flags in [&[][..], &["--max-memory", "8MiB"], &["--max-memory", "16GiB", "--max-total-memory", "16GiB"]] {
        assert_eq!(Launch::file(&path).flags(flags).start().get("/").text(), "hi", "{flags:?}");
    }
}

#[test]
fn a_program_of_any_version_of_wasi_0_2_is_served() {
    let place = Place::new();
    for version in ["0.2.0", "0.2.3", "0.2.99"] {
        let component = format!(
            r#"(component
                (core module $m (func (export "run") (result i32) i32.const 0))
                (core instance $i (instantiate $m))
                (func $run (result (result)) (canon lift (core func $i "run")))
                (instance $exports (export "run" (func $run)))
                (export "wasi:cli/run@{version}" (instance $exports)))"#
        );
        let path = place.file("program.wasm", wat::parse_str(component).expect("valid WAT"));
        let server = Launch::file(&path).start();
        assert_eq!(server.get("/").field("wasmserve-fault"), Some("bad-cgi-head"), "{version}");
    }
}

#[test]
fn a_module_that_cannot_be_wrapped_is_refused_in_one_line() {
    let place = Place::new();
    let module = fs::read(guest::program("answers_for_wasi_0_1")).expect("the guest is readable");
    let odd = r#"(module (import "wasi_snapshot_preview1" "no_such_function" (func)) (memory (export "memory") 1)
        (func (export "_start")))"#;
    for (bytes, why) in [
        (wat::parse_str(odd).expect("valid WAT"), "cannot be made a component: "),
        (
            wat::parse_str(r#"(module (func (export "_start") (unreachable)))"#).expect("valid WAT"),
            "is a core module, not a component; it does not export its `memory`",
        ),
        (module[..module.len() - 10].to_vec(), "is not a valid module: it is cut off"),
        (b"\0asm\x01\0\0\0garbage".to_vec(), "is not a valid module: "),
    ] {
        let path = place.file("odd.wasm", bytes);
        let launch = Launch::bare().flags([path.as_os_str()]).flags(["--addr", "127.0.0.1:0"]);
        refuses(launch, 4, &[&format!("odd.wasm` {why}")]);
    }
}
