//! The log: the output of handlers, and the server's own lines.

use rustix::process::Signal;
use wasmserve_tests::server::{Launch, Server};

/// This many lines do not fit into an unread pipe: it holds 64 KiB, and a line has more than 50 bytes.
const UNREAD: usize = 2000;

/// Makes this many requests on one connection.
fn answers(server: &Server, requests: usize) {
    let mut client = server.connect();
    for _ in 0..requests {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn p18_an_unread_stderr_does_not_block_requests() {
    let server = Launch::program("hello").start_unread();
    answers(&server, UNREAD);
    server.read_on();
    let log = server.stop();
    assert_eq!(log.iter().filter(|line| line.ends_with("\"GET / HTTP/1.1\" 200 -")).count(), UNREAD);
}

#[test]
fn p18_unread_lines_are_eventually_dropped_and_counted() {
    const REQUESTS: usize = 700;
    // Up to four MiB may wait.
    let request = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(8000));
    let server = Launch::program("hello").start_unread();
    let mut client = server.connect();
    for _ in 0..REQUESTS {
        client.send(&request);
        assert_eq!(client.response().status, 200);
    }
    server.read_on();
    let log = server.stop();
    let written = log.iter().filter(|line| line.ends_with(" 200 -")).count();
    let dropped = log
        .iter()
        .filter_map(|line| line.strip_prefix('(')?.strip_suffix(" log lines dropped: stderr is read too slowly)"));
    let dropped: usize = dropped.map(|number| number.parse::<usize>().expect("a number")).sum();
    assert!(dropped > 0 && written + dropped == REQUESTS, "{written} and {dropped}");
}

#[test]
fn p18_an_unread_stderr_does_not_prevent_a_graceful_stop() {
    let server = Launch::program("hello").start_unread();
    answers(&server, UNREAD);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_unread(), Some(0));
}

#[test]
fn p18_an_unread_stderr_does_not_prevent_an_immediate_stop() {
    let server = Launch::program("reads_input").flags(["--drain", "1h"]).start_unread();
    answers(&server, UNREAD);
    let mut running = server.connect();
    running.send("POST /eager HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    let head = running.head().expect("a response head");
    assert_eq!(running.body(&head).next().as_deref(), Some(&b"reading\n"[..]));
    let mut idle = server.connect();
    server.signal(Signal::TERM);
    assert_eq!(idle.rest().0, b"", "an idle connection is closed after the first signal");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_unread(), Some(130));
}

/// The lines of one exchange in the log.
fn lines_of(log: &[String], exchange: u32) -> Vec<&str> {
    let prefix = format!("[{exchange}] ");
    log.iter().filter_map(|line| line.strip_prefix(&prefix)).collect()
}

#[test]
fn l7_each_line_names_its_exchange_and_cannot_be_forged() {
    let server = Server::start("prints");
    assert_eq!(server.get("/").text(), "printed");
    let log = server.stop();
    let mut lines = lines_of(&log, 1);
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "log: [1] 200 forged",
            "log: not UTF-8: \\xff",
            "stderr: \\x1b[2Jclear \\u{9b}2J \\u{202e}turn \\x07bell\\x0d127.0.0.1 - - forged",
            "stderr: no end",
            "stdout: lines",
            "stdout: one line",
            "stdout: two",
        ]
    );
    assert!(!log.concat().contains(|char: char| char.is_control()), "F22: {log:?}");
}

#[test]
fn l7_output_without_a_line_end_is_logged_however_the_handler_ends() {
    let server = Launch::program("leaves_output").flags(["--cpu-time", "300ms"]).start();
    for (path, status) in [
        ("/returns", 200),
        ("/panics", 500),
        ("/errs", 500),
        ("/aborts", 500),
        ("/exits", 200),
        ("/overflows", 500),
        ("/hoards", 500),
        ("/spins", 504),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    let log = server.stop();
    for exchange in 1..=8 {
        let lines = lines_of(&log, exchange);
        let fault = lines.iter().position(|line| line.starts_with("50")).unwrap_or(lines.len());
        assert!(lines[..fault].contains(&"stdout: left"), "before the fault: {log:#?}");
    }
}

#[test]
fn l7_output_without_a_line_end_is_logged_if_the_client_leaves() {
    let server = Server::start("leaves_output");
    let mut client = server.connect();
    client.send("POST /reads HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    drop(client);
    server.line_with("POST /reads");
    assert_eq!(server.get("/").status, 200);
    assert_eq!(lines_of(&server.stop(), 1)[0], "stdout: left");
}

#[test]
fn l7_pieces_of_a_line_are_one_line_for_each_stream() {
    let server = Server::start("leaves_output");
    for path in ["/streams", "/interleaves", "/locks", "/is_not_utf8"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let log = server.stop();
    let lines = |exchange| {
        let mut lines = lines_of(&log, exchange);
        lines.sort_unstable();
        lines
    };
    assert_eq!(lines(1), ["stdout: left, one, two"]);
    assert_eq!(lines(2), ["stderr: error of stderr", "stdout: left of stdout"]);
    assert_eq!(lines(3), ["stdout: left in a lock"]);
    assert_eq!(lines(4), ["stdout: left\\xe2\\x82"]);
}

#[test]
fn l7_a_line_of_any_length_is_one_line() {
    let server = Server::start("leaves_output");
    // Around the sizes of buffers in the standard library and in WASI, and beyond `--max-log-line`.
    let lengths = [1023, 1024, 1025, 4095, 4096, 4097, 8192, 20_000];
    for length in lengths {
        assert_eq!(server.get(&format!("/?bytes={length}")).status, 200);
    }
    let log = server.stop();
    for (exchange, length) in (1..).zip(lengths) {
        let line = &"left".repeat(length)[..length];
        let shown = match length {
            20_000 => format!("stdout: {}...(11808 bytes dropped)", &line[..8192]),
            _ => format!("stdout: {line}"),
        };
        assert!(lines_of(&log, exchange) == [shown], "{length}");
    }
}

#[test]
fn f21_a_flood_of_output_is_cut_with_a_notice() {
    let server = Server::start("floods_logs");
    assert_eq!(server.get("/").text(), "flooded");
    assert_eq!(server.get("/").text(), "flooded");
    let log = server.stop();
    for exchange in [1, 2] {
        let lines = lines_of(&log, exchange);
        assert!(lines[0].starts_with("log: xxx") && lines[0].ends_with("bytes dropped)"), "{}", lines[0]);
        assert!(lines[0].len() < 9000, "a line is cut at 8 KiB");
        let bytes: usize = lines.iter().map(|line| line.len()).sum();
        assert!(bytes < 300_000, "an exchange is cut at 256 KiB, but this one has {bytes}");
        assert!(lines.last().is_some_and(|line| line.contains("exceeds 262144 bytes")), "{:?}", lines.last());
    }
}

#[test]
fn l5_each_request_has_one_line_in_the_access_log_however_it_ended() {
    let server = Server::start("misbehaves");
    assert_eq!(server.get("/fine").status, 200);
    assert_eq!(server.get("/traps").status, 500);
    assert_eq!(server.ask("GET /no-host HTTP/1.1\r\n\r\n").status, 400);
    assert_eq!(server.ask("GET /bad-field HTTP/1.1\r\nbad field: 1\r\n\r\n").status, 400);
    let mut client = server.connect();
    client.send("GET /streams HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.head().expect("a response head");
    assert_eq!(head.status, 200);
    drop(client);
    server.line_with("/streams");

    let log = server.stop();
    let access = |line: &&String| line.starts_with("127.0.0.1 - - [");
    let mut lines: Vec<&str> =
        log.iter().filter(access).filter_map(|line| line.split_once("] ")).map(|it| it.1).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "\"GET /bad-field HTTP/1.1\" 400 -",
            "\"GET /fine HTTP/1.1\" 200 -",
            "\"GET /no-host HTTP/1.1\" 400 -",
            "\"GET /streams HTTP/1.1\" 499 -",
            "\"GET /traps HTTP/1.1\" 500 -",
        ]
    );
}

#[test]
fn l1_the_access_log_looks_like_http_server_and_escapes_the_request_line() {
    let server = Server::start("hello");
    server.ask(b"GET /\"\\?\xff HTTP/1.1\r\nHost: test\r\n\r\n");
    let line = server.line_with("- - [");
    let (before, after) = line.split_once(" - - [").expect("the line has the separator");
    let (time, request) = after.split_once("] ").expect("the end of the time");
    assert_eq!((before, request), ("127.0.0.1", "\"GET /\\\"\\\\?\\xFF HTTP/1.1\" 400 -"));
    // `19/Oct/2014 15:28:47`
    let shape = |char: char| {
        if char.is_ascii_digit() {
            '9'
        } else if char.is_alphabetic() {
            'a'
        } else {
            char
        }
    };
    let shape: String = time.chars().map(shape).collect();
    assert_eq!(shape, "99/aaa/9999 99:99:99");
}
