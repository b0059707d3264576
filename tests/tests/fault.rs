//! Whatever a handler does, the client gets what was promised, the log tells why, and the next request is fine.

use wasmserve_tests::{
    client::{End, Response},
    server::{Launch, Server, Shared},
};

/// What a request to a guest leads to, as long as its head has not left.
struct Promise {
    program: &'static str,
    flags: &'static [&'static str],
    target: &'static str,
    status: &'static str,
    kind: &'static str,
    /// What the client is told.
    public: &'static str,
    /// What the log tells.
    reason: &'static str,
    /// A target that the same guest answers well, if it has one.
    fine: Option<&'static str>,
}

const FAILED: Promise = Promise {
    program: "",
    flags: &[],
    target: "/",
    status: "500 Internal Server Error",
    kind: "trap",
    public: "the handler failed",
    reason: "",
    fine: Some("/fine"),
};

const LATE: Promise = Promise {
    flags: &["--timeout", "300ms"],
    status: "504 Gateway Timeout",
    kind: "wall-limit",
    public: "the handler took too long",
    reason: "the handler ran for longer than --timeout allows",
    ..FAILED
};

impl Promise {
    fn is_kept(&self) {
        let Self { program, target, status, kind, public, reason, .. } = *self;
        let server = Launch::program(program).flags(self.flags).start();
        let mut client = server.connect();
        let mut ask = |target: &str| {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
            client.response()
        };
        for exchange in 1..=2 {
            // K4: the connection lives on.
            let response = ask(target);
            assert_eq!(format!("{} {}", response.status, response.reason), status, "{program}");
            assert_eq!(response.end, End::Whole);
            assert_eq!(response.field("Wasmserve-Fault"), Some(kind));
            assert_eq!(response.field("Content-Type"), Some("text/plain; charset=utf-8"));
            // The id is the same as in the log, and nothing of the handler's inside is told.
            assert_eq!(response.text(), format!("{status}: {public} (exchange {exchange})\n"), "{program}");

            let prefix = format!("[{exchange}] {} {kind}: ", &status[..3]);
            let line = server.line(|line| line.starts_with(&prefix));
            let told = line[prefix.len()..].strip_suffix(&format!(" (GET {target} HTTP/1.1)"));
            let told = told.unwrap_or_else(|| panic!("the request is told: {line}"));
            assert!(told.contains(reason), "{program}: {line}");
            assert!(told.len() < 2048, "F8: {line}");
        }
        if let Some(fine) = self.fine {
            let response = ask(fine);
            assert_eq!((response.status, response.end), (200, End::Whole), "{program}: the next request");
        }
        let log = server.stop();
        let faults = |line: &&String| line.starts_with("[1] ") && line.contains(&format!(" {kind}: "));
        assert_eq!(log.iter().filter(faults).count(), 1, "a fault is told in one line: {log:#?}");
        let access = log.iter().filter(|line| line.contains(&format!("\"GET {target} HTTP/1.1\" {} -", &status[..3])));
        assert_eq!(access.count(), 2, "L5: {log:#?}");
        assert!(!log.concat().contains("wasm backtrace"), "one readable line: {log:#?}");
    }
}

#[test]
fn f8_a_trap_is_a_500() {
    Promise { program: "traps", reason: "unreachable", ..FAILED }.is_kept();
}

#[test]
fn f8_a_panic_is_a_500_and_the_log_has_its_message_and_place() {
    Promise { program: "panics", target: "/pot", reason: "panics.rs:", ..FAILED }.is_kept();
    Promise { program: "panics", target: "/pot", reason: "no coffee in /pot", ..FAILED }.is_kept();
}

#[test]
fn x1_an_error_is_a_500_even_if_the_response_was_started() {
    Promise { program: "returns_an_error", kind: "exception", reason: "the database\\x0ais away", ..FAILED }.is_kept();
}

#[test]
fn x2_a_handler_that_never_answers_is_a_500() {
    let reason = "without calling start-response";
    Promise { program: "returns_without_starting", kind: "no-start-response", reason, ..FAILED }.is_kept();
}

#[test]
fn s2_a_second_start_that_is_let_out_is_a_500() {
    Promise { program: "starts_twice", reason: "start_response was called before", fine: Some("/caught"), ..FAILED }
        .is_kept();
}

#[test]
fn f12_a_bad_head_is_a_500() {
    let bad = Promise { program: "starts_as_told", kind: "bad-response-head", fine: Some("/?chunk=a"), ..FAILED };
    Promise { target: "/?status=099", reason: "the status is not", ..bad }.is_kept();
    Promise { target: "/?field=a%20b:c", reason: "`a b`: the name is not a token", ..bad }.is_kept();
    Promise { target: "/?field=Upgrade:c", reason: "`upgrade` is a hop-by-hop field", ..bad }.is_kept();
}

#[test]
fn f1_a_handler_that_spins_is_a_504() {
    Promise { program: "spins", ..LATE }.is_kept();
}

#[test]
fn f19_a_handler_that_sleeps_is_a_504() {
    Promise { program: "sleeps", ..LATE }.is_kept();
}

#[test]
fn f24_a_handler_that_spins_before_it_is_asked_is_a_504() {
    let server = Launch::program("spins_at_start").flags(["--timeout", "300ms"]).start();
    assert_eq!(server.get("/").status, 504);
    assert_eq!(server.get("/").status, 504);
    server.stop();
}

#[test]
fn f3_a_handler_that_wants_too_much_memory_is_a_500() {
    let reason = "--max-memory";
    let grows = Promise { program: "grows_memory", kind: "memory-limit", reason, fine: Some("/careful"), ..FAILED };
    Promise { flags: &["--max-memory", "32MiB"], ..grows }.is_kept();
}

#[test]
fn f3_a_handler_that_asks_how_much_memory_there_is_gets_it() {
    for (flags, limit) in [(&[][..], 128), (&["--max-memory", "16MiB"][..], 16)] {
        let server = Launch::program("grows_memory").flags(flags).start();
        for _ in 0..2 {
            let response = server.get("/careful");
            assert_eq!(response.status, 200);
            let got: u64 = response.text().parse().expect("it is a number");
            assert!((limit / 2..=limit).contains(&got), "{got} of {limit} MiB");
        }
    }
}

#[test]
fn f6_a_handler_that_overflows_its_stack_is_a_500() {
    Promise { program: "overflows_the_stack", kind: "stack-overflow", ..FAILED }.is_kept();
}

#[test]
fn a_handler_that_exits_is_a_500() {
    let exits = Promise { program: "exits", kind: "exited", fine: Some("/answered?code=0"), ..FAILED };
    Promise { reason: "exit(1)", ..exits }.is_kept();
    let reason = "without calling start-response";
    Promise { target: "/?code=0", kind: "no-start-response", reason, ..exits }.is_kept();
}

#[test]
fn a_handler_that_exits_well_has_answered() {
    let server = Shared::program("exits");
    let response = server.get("/answered?code=0");
    assert_eq!((response.status, response.text(), response.end), (200, "answered", End::Whole));
    let response = server.get("/answered?code=1");
    assert_eq!((response.status, response.end), (200, End::Cut));
}

/// A response that has begun is visibly cut: no clean end, no text of an error in its body (rule X3).
fn is_cut(program: &str, target: &str, flags: &[&str], fault: &str) {
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
    let told = log.iter().filter(|line| line.starts_with(&start) && line.ends_with(&end));
    assert_eq!(told.count(), 1, "{log:#?}");
}

#[test]
fn x3_what_fails_after_the_head_is_cut() {
    is_cut("traps_after_first_write", "/", &[], "500 trap: ");
    is_cut("traps_after_first_write", "/length", &[], "500 trap: ");
    is_cut("panics", "/late", &[], "500 trap: ");
    is_cut("returns_an_error", "/late", &[], "500 exception: the database");
}

#[test]
fn x3_what_takes_too_long_after_the_head_is_cut() {
    is_cut("spins", "/late", &["--timeout", "500ms"], "504 wall-limit: ");
    is_cut("sleeps", "/late", &["--timeout", "500ms"], "504 wall-limit: ");
}

#[test]
fn what_fails_after_the_end_does_not_concern_the_client() {
    let server = Server::start("goes_on_after_finishing");
    let mut client = server.connect();
    for exchange in 1..=3 {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.text(), response.end), (200, "finished", End::Whole));
        assert_eq!(response.field("Content-Length"), Some("8"), "B3");
        server.line(|line| line.starts_with(&format!("[{exchange}] 500 trap: ")));
    }
}

#[test]
fn f1_handlers_that_spin_do_not_stop_the_others() {
    let server = Server::start("spins");
    let mut spinning: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let mut before = server.connect();
    for client in &mut spinning {
        client.send("GET /late HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.head().expect("it begins").status, 200);
    }
    // They all spin by now, and will for half a minute.
    for _ in 0..20 {
        before.send("GET /fine HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(before.response().text(), "fine", "on a connection from before");
        assert_eq!(server.get("/fine").text(), "fine", "on a new connection");
    }
    assert!(!server.log().iter().any(|line| line.contains("/late")), "they still spin");
}

#[test]
fn x4_a_thousand_traps_among_others_harm_nobody() {
    let server = Server::start("traps");
    let mut client = server.connect();
    for _ in 0..1000 {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET /fine HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.response().status, 500);
        assert_eq!(client.response().text(), "fine");
    }
}

#[test]
fn f8_the_same_fault_again_and_again_does_not_flood_the_log() {
    let server = Server::start("traps");
    let mut client = server.connect();
    for _ in 0..200 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status, 500);
    }
    let log = server.stop();
    let told = log.iter().filter(|line| line.contains("] 500 trap: ")).count();
    let counted = log.iter().filter_map(|line| line.strip_prefix('(')?.split_once(" more times: 500 trap: "));
    let counted: usize = counted.map(|(times, _)| times.parse::<usize>().expect("it is a number")).sum();
    assert_eq!(told + counted, 200, "each is told or counted: {log:#?}");
    assert!(counted > 0, "{log:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("\" 500 -")).count(), 200, "L5");
}

#[test]
fn debug_tells_the_client_what_is_wrong_in_the_form_that_it_accepts() {
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
