//! Faults of handlers: the client gets the documented response, the log has the reason, and the server still works.

use wasmserve_tests::{
    client::{End, Response},
    server::{Launch, Server, Shared},
};

/// The expected result of a request whose handler fails before the response head is sent.
struct Failure {
    program: &'static str,
    flags: &'static [&'static str],
    target: &'static str,
    status: &'static str,
    kind: &'static str,
    /// The client's error message.
    public: &'static str,
    /// Part of the reason in the log.
    reason: &'static str,
    /// A target that the same guest answers with a 200, if any.
    fine: Option<&'static str>,
}

const FAILED: Failure = Failure {
    program: "",
    flags: &[],
    target: "/",
    status: "500 Internal Server Error",
    kind: "trap",
    public: "the handler failed",
    reason: "",
    fine: Some("/fine"),
};

const LATE: Failure = Failure {
    flags: &["--timeout", "300ms"],
    status: "504 Gateway Timeout",
    kind: "wall-limit",
    public: "the handler took too long",
    reason: "the handler ran for longer than --timeout allows",
    ..FAILED
};

impl Failure {
    fn check(&self) {
        let Self { program, target, status, kind, public, reason, .. } = *self;
        let server = Launch::program(program).flags(self.flags).start();
        let mut client = server.connect();
        let mut ask = |target: &str| {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
            client.response()
        };
        for exchange in 1..=2 {
            // K4: the connection stays open.
            let response = ask(target);
            assert_eq!(format!("{} {}", response.status, response.reason), status, "{program}");
            assert_eq!(response.end, End::Whole);
            assert_eq!(response.field("Wasmserve-Fault"), Some(kind));
            assert_eq!(response.field("Content-Type"), Some("text/plain; charset=utf-8"));
            // The id matches the log, and the response reveals no detail of the handler.
            assert_eq!(response.text(), format!("{status}: {public} (exchange {exchange})\n"), "{program}");

            let prefix = format!("[{exchange}] {} {kind}: ", &status[..3]);
            let line = server.line(|line| line.starts_with(&prefix));
            let logged = line[prefix.len()..].strip_suffix(&format!(" (GET {target} HTTP/1.1)"));
            let logged = logged.unwrap_or_else(|| panic!("the line ends with the request: {line}"));
            assert!(logged.contains(reason), "{program}: {line}");
            assert!(logged.len() < 2048, "F8: {line}");
        }
        if let Some(fine) = self.fine {
            let response = ask(fine);
            assert_eq!((response.status, response.end), (200, End::Whole), "{program}: the next request");
        }
        let log = server.stop();
        let faults = |line: &&String| line.starts_with("[1] ") && line.contains(&format!(" {kind}: "));
        assert_eq!(log.iter().filter(faults).count(), 1, "a fault is one line: {log:#?}");
        let access = log.iter().filter(|line| line.contains(&format!("\"GET {target} HTTP/1.1\" {} -", &status[..3])));
        assert_eq!(access.count(), 2, "L5: {log:#?}");
        assert!(!log.concat().contains("wasm backtrace"), "one readable line: {log:#?}");
    }
}

#[test]
fn f8_a_trap_is_a_500() {
    Failure { program: "traps", reason: "unreachable", ..FAILED }.check();
}

#[test]
fn f8_a_panic_is_a_500_and_the_log_has_its_message_and_place() {
    Failure { program: "panics", target: "/pot", reason: "panics.rs:", ..FAILED }.check();
    Failure { program: "panics", target: "/pot", reason: "no coffee in /pot", ..FAILED }.check();
}

#[test]
fn x1_an_error_is_a_500_even_if_the_response_was_started() {
    Failure { program: "returns_an_error", kind: "exception", reason: "the database", ..FAILED }.check();
}

#[test]
fn f8_a_reason_of_several_lines_is_several_lines_in_the_log() {
    let server = Server::start("returns_an_error");
    assert_eq!(server.get("/").status, 500);
    assert_eq!(server.get("/").status, 500);
    let log = server.stop();
    let lines: Vec<_> = log.iter().filter(|line| line.starts_with('[')).collect();
    let first = "500 exception: the database (GET / HTTP/1.1)";
    assert_eq!(lines, [&format!("[1] {first}"), "[1]   is away", &format!("[2] {first}")], "the first is in full");
}

#[test]
fn x2_a_handler_that_never_starts_a_response_is_a_500() {
    let reason = "returned without a response";
    Failure { program: "returns_without_starting", kind: "no-start-response", reason, ..FAILED }.check();
}

#[test]
fn s2_an_uncaught_second_start_is_a_500() {
    Failure { program: "starts_twice", reason: "start_response was called before", fine: Some("/caught"), ..FAILED }
        .check();
}

#[test]
fn f12_a_bad_head_is_a_500() {
    let bad = Failure { program: "starts_as_told", kind: "bad-response-head", fine: Some("/?chunk=a"), ..FAILED };
    Failure { target: "/?status=099", reason: "the status is not", ..bad }.check();
    Failure { target: "/?field=a%20b:c", reason: "`a b`: the name is not a token", ..bad }.check();
    Failure { target: "/?field=Upgrade:c", reason: "`upgrade` is a hop-by-hop field", ..bad }.check();
}

#[test]
fn f1_a_handler_that_spins_is_a_504() {
    Failure { program: "spins", ..LATE }.check();
}

#[test]
fn f19_a_handler_that_sleeps_is_a_504() {
    Failure { program: "sleeps", ..LATE }.check();
}

#[test]
fn f24_a_handler_that_spins_during_instantiation_is_a_504() {
    let server = Launch::program("spins_at_start").flags(["--timeout", "300ms"]).start();
    assert_eq!(server.get("/").status, 504);
    assert_eq!(server.get("/").status, 504);
    server.stop();
}

#[test]
fn f3_a_handler_that_exceeds_its_memory_is_a_500() {
    let reason = "--max-memory";
    let grows = Failure { program: "grows_memory", kind: "memory-limit", reason, fine: Some("/careful"), ..FAILED };
    Failure { flags: &["--max-memory", "32MiB"], ..grows }.check();
}

#[test]
fn f3_a_handler_can_grow_its_memory_up_to_the_limit() {
    for (flags, limit) in [(&[][..], 128), (&["--max-memory", "16MiB"][..], 16)] {
        let server = Launch::program("grows_memory").flags(flags).start();
        for _ in 0..2 {
            let response = server.get("/careful");
            assert_eq!(response.status, 200);
            let got: u64 = response.text().parse().expect("a number");
            assert!((limit / 2..=limit).contains(&got), "{got} of {limit} MiB");
        }
    }
}

#[test]
fn f6_a_handler_that_overflows_its_stack_is_a_500() {
    Failure { program: "overflows_the_stack", kind: "stack-overflow", ..FAILED }.check();
}

#[test]
fn a_handler_that_exits_is_a_500() {
    let exits = Failure { program: "exits", kind: "exited", fine: Some("/answered?code=0"), ..FAILED };
    Failure { reason: "exit(1)", ..exits }.check();
    let reason = "returned without a response";
    Failure { target: "/?code=0", kind: "no-start-response", reason, ..exits }.check();
}

#[test]
fn a_handler_that_exits_with_0_after_its_response_succeeds() {
    let server = Shared::program("exits");
    let response = server.get("/answered?code=0");
    assert_eq!((response.status, response.text(), response.end), (200, "answered", End::Whole));
    let response = server.get("/answered?code=1");
    assert_eq!((response.status, response.end), (200, End::Cut));
}

/// Checks that a response that has begun is visibly truncated, without an error text in its body (rule X3).
fn assert_truncated(program: &str, target: &str, flags: &[&str], fault: &str) {
    let server = Launch::program(program).flags(flags).start();
    let mut client = server.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    let response: Response = client.response();
    assert_eq!((response.status, response.text(), response.end), (200, "first", End::Cut), "{program}");
    let (rest, _) = client.rest();
    assert_eq!(rest, b"", "nothing follows");
    server.line_with(&format!("\"GET {target} HTTP/1.1\" "));
    let log = server.stop();
    let (start, end) = (format!("[1] {fault}"), format!("(GET {target} HTTP/1.1)"));
    let logged = log.iter().filter(|line| line.starts_with(&start) && line.ends_with(&end));
    assert_eq!(logged.count(), 1, "{log:#?}");
}

#[test]
fn x3_a_response_that_fails_after_its_head_is_truncated() {
    assert_truncated("traps_after_first_write", "/", &[], "200 trap: response cut: ");
    assert_truncated("traps_after_first_write", "/length", &[], "200 trap: response cut: ");
    assert_truncated("panics", "/late", &[], "200 trap: response cut: ");
    assert_truncated("returns_an_error", "/late", &[], "200 exception: response cut: the database");
}

#[test]
fn x3_a_response_that_times_out_after_its_head_is_truncated() {
    assert_truncated("spins", "/late", &["--timeout", "500ms"], "200 wall-limit: response cut: ");
    assert_truncated("sleeps", "/late", &["--timeout", "500ms"], "200 wall-limit: response cut: ");
}

#[test]
fn a_fault_after_a_complete_response_does_not_affect_the_client() {
    let server = Server::start("goes_on_after_finishing");
    let mut client = server.connect();
    for exchange in 1..=3 {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.text(), response.end), (200, "finished", End::Whole));
        assert_eq!(response.field("Content-Length"), Some("8"), "B3");
        server.line(|line| line.starts_with(&format!("[{exchange}] 200 trap: after the response: ")));
    }
}

#[test]
fn f1_spinning_handlers_do_not_block_others() {
    let server = Server::start("spins");
    let mut spinning: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let mut before = server.connect();
    for client in &mut spinning {
        client.send("GET /late HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.head().expect("a response head").status, 200);
    }
    // All of them spin by now, and continue for half a minute.
    for _ in 0..20 {
        before.send("GET /fine HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(before.response().text(), "fine", "on an older connection");
        assert_eq!(server.get("/fine").text(), "fine", "on a new connection");
    }
    assert!(!server.log().iter().any(|line| line.contains("/late")), "they still spin");
}

#[test]
fn x4_a_thousand_traps_do_not_affect_other_requests() {
    let server = Server::start("traps");
    let mut client = server.connect();
    for _ in 0..1000 {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET /fine HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.response().status, 500);
        assert_eq!(client.response().text(), "fine");
    }
}

#[test]
fn f8_a_repeated_fault_does_not_flood_the_log() {
    let server = Server::start("traps");
    let mut client = server.connect();
    for _ in 0..200 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status, 500);
    }
    let log = server.stop();
    let logged = log.iter().filter(|line| line.contains("] 500 trap: ")).count();
    let counted = log.iter().filter_map(|line| line.strip_prefix('(')?.split_once(" more times: 500 trap: "));
    let counted: usize = counted.map(|(times, _)| times.parse::<usize>().expect("a number")).sum();
    assert_eq!(logged + counted, 200, "each fault is logged or counted: {log:#?}");
    assert!(counted > 0, "{log:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("\" 500 -")).count(), 200, "L5");
}

#[test]
fn debug_shows_the_reason_in_a_format_that_the_client_accepts() {
    let server = Launch::program("panics").flags(["--debug"]).start();
    for (accept, content_type) in [
        ("text/html", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("*/*", "text/plain; charset=utf-8"),
    ] {
        let answer = server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n"));
        assert_eq!((answer.status, answer.field("content-type")), (500, Some(content_type)));
        for part in ["no coffee", "at panics::app", "panics.rs:"] {
            assert!(answer.text().contains(part), "{part}: {}", answer.text());
        }
    }
    let quiet = Server::start("panics").get("/");
    assert!(!quiet.text().contains("coffee"), "X1: {}", quiet.text());
}
