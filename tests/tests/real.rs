//! The clients that people use.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use wasmserve_tests::{place::Place, server::Server};

/// What a program prints when it is fed that, and its exit code.
fn run(program: &str, words: &[&str], input: &[u8]) -> (String, Option<i32>) {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{program}` is needed for this test, and does not start: {error}"));
    // It may not want it.
    _ = child.stdin.take().expect("stdin is piped").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

/// What a program prints, if it is content.
fn told(program: &str, words: &[&str], input: &str) -> String {
    let (output, code) = run(program, words, input.as_bytes());
    assert_eq!(code, Some(0), "{program} {words:?}: {output}");
    output
}

/// What `curl` prints. It must not take long, or fail in silence.
fn curl(words: &[&str]) -> String {
    told("curl", &[&["-sS", "--max-time", "60"], words].concat(), "")
}

fn url(server: &Server) -> String {
    format!("http://{}/", server.addr())
}

#[test]
fn curl_gets_hello() {
    let server = Server::start("hello");
    let text = curl(&["-i", &url(&server)]);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nHello, World!\n"), "{text}");

    let text = curl(&["-i", "--http1.0", &url(&server)]);
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && text.ends_with("\r\n\r\nHello, World!\n"), "{text}");

    let text = curl(&["-I", &url(&server)]);
    assert!(text.contains("\r\nContent-Length: 14\r\n") && text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn curl_uploads_a_file_with_its_length_and_in_chunks() {
    let place = Place::new();
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let file = place.file("upload", &content);
    let (file, back) = (file.to_string_lossy().into_owned(), place.join("download"));
    let server = Server::start("echo");
    let chunked = ["-H", "Transfer-Encoding: chunked"];
    // `curl` asks for `100 Continue` before so large a body.
    let eager = ["-H", "Expect:"];
    for fields in [&[][..], &chunked, &eager] {
        let words = ["-T", &file, "-o", &back.to_string_lossy(), &url(&server)];
        curl(&[fields, &words].concat());
        assert!(fs::read(&back).expect("it was written") == content, "{fields:?}");
    }
}

#[test]
fn curl_waits_for_100_continue() {
    let server = Server::start("reads_input");
    let text = curl(&["-i", "-H", "Expect: 100-continue", "--expect100-timeout", "60", "-d", "hello", &url(&server)]);
    assert!(text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("5 octets, trailers []\n"), "{text}");
}

#[test]
fn curl_notices_a_response_that_was_cut() {
    const PARTIAL_FILE: i32 = 18;
    let server = Server::start("traps_after_first_write");
    for path in ["", "length"] {
        let (text, code) = run("curl", &["-s", &format!("{}{path}", url(&server))], b"");
        assert_eq!((&*text, code), ("first", Some(PARTIAL_FILE)), "{path}");
    }
}

#[test]
fn curl_posts_a_form() {
    let server = Server::start("verbs");
    assert_eq!(curl(&["-X", "POST", "-d", "abc=def", &url(&server)]), "Test from POST!");
    server.line_with("] log: {'abc': ['def']}");
    assert_eq!(curl(&[&url(&server)]), "Test from GET!");
    let text = curl(&["-i", "-X", "BREW", &url(&server)]);
    assert!(text.starts_with("HTTP/1.1 501 Unsupported method ('BREW')\r\n"), "{text}");
}

#[test]
fn curl_sees_what_it_sends() {
    let server = Server::start("dump");
    let text = curl(&["-X", "POST", "-d", "abc=def", &url(&server)]);
    assert!(text.starts_with("POST / HTTP/1.1\r\nHost: 127.0.0.1:") && text.ends_with("\r\n\r\nabc=def"), "{text}");
}

/// Runs a Python program with the server's address as its argument.
fn python(server: &Server, program: &str) -> String {
    told("python3", &["-", "127.0.0.1", &server.addr().port().to_string()], program)
}

#[test]
fn pythons_urllib_and_http_client_talk_to_echo() {
    let server = Server::start("echo");
    let text = python(
        &server,
        r#"
import http.client, sys, urllib.request
host, port = sys.argv[1], int(sys.argv[2])
with urllib.request.urlopen(f"http://{host}:{port}/", data=b"abc=def") as response:
    print(response.status, response.headers["Content-Type"], response.read())
connection = http.client.HTTPConnection(host, port)
for number in range(3):
    connection.request("PUT", "/", body=iter([b"one ", b"two ", str(number).encode()]), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    response = connection.getresponse()
    print(response.status, response.read())
"#,
    );
    assert_eq!(
        text,
        "200 application/x-www-form-urlencoded b'abc=def'\n200 b'one two 0'\n200 b'one two 1'\n200 b'one two 2'\n"
    );
}

#[test]
fn pythons_http_handler_logs_to_logsink() {
    let server = Server::start("logsink");
    python(
        &server,
        r#"
import logging, logging.handlers, sys
logger = logging.getLogger("MR_HANDLER.HTTP")
for method in "post", "GET":
    handler = logging.handlers.HTTPHandler(f"{sys.argv[1]}:{sys.argv[2]}", "/", method=method)
    logger.addHandler(handler)
    logger.error("Received arguments: [%s] [%s]", "abc", "d\u00e9f")
    logger.removeHandler(handler)
"#,
    );
    for exchange in 1..=2 {
        let line = server.line(|line| line.starts_with(&format!("[{exchange}] log: ")));
        let end =
            "                           MR_HANDLER.HTTP      ERROR  Received arguments: [%s] [%s]  ('abc', 'd\u{e9}f')";
        assert!(line.ends_with(end), "{line}");
    }
}

#[test]
fn nodes_fetch_talks_to_echo() {
    let server = Server::start("echo");
    let program = r#"
        const url = process.argv[1];
        const whole = await fetch(url, { method: "POST", body: "abc=def", headers: { "Content-Type": "text/x" } });
        console.log(whole.status, whole.headers.get("content-type"), await whole.text());
        const body = new ReadableStream({
            start(controller) {
                for (const part of ["one ", "two"]) controller.enqueue(new TextEncoder().encode(part));
                controller.close();
            },
        });
        const streamed = await fetch(url, { method: "PUT", body, duplex: "half" });
        console.log(streamed.status, await streamed.text());
    "#;
    let text = told("node", &["--input-type=module", "-e", program, &url(&server)], "");
    assert_eq!(text, "200 text/x abc=def\n200 one two\n");
}

#[test]
fn nodes_fetch_notices_a_response_that_was_cut() {
    let server = Server::start("traps_after_first_write");
    let program = r#"
        const response = await fetch(process.argv[1]);
        console.log(response.status, await response.text().catch((error) => error.name));
    "#;
    let text = told("node", &["--input-type=module", "-e", program, &url(&server)], "");
    assert_eq!(text, "200 TypeError\n");
}
