//! How an exchange ends: one outcome with one status, wherever it is shown.

use rustix::process::Signal;
use wasmserve_tests::{
    client::{self, Client},
    guest,
    http2::{self, Http2},
    server::{Launch, Server},
};

/// What makes the exchange end, after its request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The handler, or a limit.
    Itself,
    /// The client closes its connection.
    ClientLeaves,
    /// The server is stopped, and the time of `--drain` passes.
    Drain(Signal),
    /// The server is stopped, and gets a second signal.
    SecondSignal(Signal),
}

/// How an exchange must end.
struct Case {
    program: &'static str,
    target: &'static str,
    flags: &'static [&'static str],
    /// Whether the client has the head of the response when the way begins.
    has_head: bool,
    way: Way,
    /// The status in the access log, and in the line of its fault.
    status: u16,
    /// The start of the line of its fault, after the status.
    fault: Option<&'static str>,
    /// Whether the counters have it as answered.
    is_answered: bool,
}

const fn case(program: &'static str, target: &'static str, flags: &'static [&'static str]) -> Case {
    let (has_head, way, status, fault, is_answered) = (false, Way::Itself, 200, None, true);
    Case { program, target, flags, has_head, way, status, fault, is_answered }
}

const fn answered(case: Case, status: u16, fault: &'static str) -> Case {
    Case { status, fault: Some(fault), ..case }
}

const fn cut(case: Case, fault: &'static str) -> Case {
    Case { fault: Some(fault), has_head: true, is_answered: false, ..case }
}

const fn left(case: Case, has_head: bool) -> Case {
    Case { status: 499, has_head, way: Way::ClientLeaves, is_answered: false, ..case }
}

const fn stopped(case: Case, way: Way) -> Case {
    Case { status: 503, fault: Some("stopped: the server"), way, is_answered: false, ..case }
}

const fn stopped_late(case: Case, way: Way) -> Case {
    Case { status: 200, way, ..cut(case, "stopped: response cut: the server") }
}

const SHORT: &[&str] = &["--timeout", "300ms"];
const LONG_DRAIN: &[&str] = &["--drain", "1h"];
const SHORT_DRAIN: &[&str] = &["--drain", "100ms"];

/// Kinds of ends, before and after the head of the response.
const CASES: [Case; 18] = [
    answered(case("traps", "/", &[]), 500, "trap: "),
    answered(case("returns_an_error", "/", &[]), 500, "exception: "),
    answered(case("sleeps", "/", SHORT), 504, "wall-limit: the handler"),
    answered(case("spins", "/", &["--cpu-time", "200ms"]), 504, "cpu-limit: the handler"),
    cut(case("traps_after_first_write", "/", &[]), "trap: response cut: "),
    cut(case("returns_an_error", "/late", &[]), "exception: response cut: "),
    cut(case("short_body", "/", &[]), "short-body: response cut: "),
    cut(case("sleeps", "/late", SHORT), "wall-limit: response cut: "),
    cut(case("spins", "/late", &["--cpu-time", "200ms"]), "cpu-limit: response cut: "),
    answered(case("goes_on_after_finishing", "/", &[]), 200, "trap: after the response: "),
    left(case("sleeps", "/", &[]), false),
    left(case("downloads", "/", &[]), true),
    stopped(case("sleeps", "/", LONG_DRAIN), Way::SecondSignal(Signal::INT)),
    stopped(case("sleeps", "/", SHORT_DRAIN), Way::Drain(Signal::HUP)),
    stopped_late(case("sleeps", "/late", LONG_DRAIN), Way::SecondSignal(Signal::INT)),
    stopped_late(case("sleeps", "/late", LONG_DRAIN), Way::SecondSignal(Signal::TERM)),
    stopped_late(case("sleeps", "/late", SHORT_DRAIN), Way::Drain(Signal::TERM)),
    stopped_late(case("spins", "/late", SHORT_DRAIN), Way::Drain(Signal::INT)),
];

/// The statuses in the access log.
fn statuses(log: &[String], target: &str) -> Vec<u16> {
    let request = format!("\"GET {target} HTTP/1.1\" ");
    let after = log.iter().filter_map(|line| line.split_once(&request)).map(|(_, after)| after);
    after.map(|after| after.split(' ').next().and_then(|status| status.parse().ok()).expect("a status")).collect()
}

/// What follows the exchange's number in the lines of its faults, which end in its request.
fn faults<'a>(log: &'a [String], target: &str) -> Vec<&'a str> {
    let request = format!(" (GET {target} HTTP/1.1)");
    log.iter().filter_map(|line| line.strip_prefix("[1] ")?.strip_suffix(&*request)).collect()
}

/// Ends the exchange of `client` in this way, and returns the whole log.
fn end(server: Server, mut client: Client, case: &Case) -> Vec<String> {
    let Case { program, target, way, is_answered, .. } = *case;
    let twice = match way {
        Way::Itself => {
            _ = client.rest();
            None
        }
        Way::ClientLeaves => {
            drop(client);
            None
        }
        Way::Drain(signal) => Some((signal, None)),
        Way::SecondSignal(signal) => Some((signal, Some(signal))),
    };
    let Some((first, second)) = twice else {
        let has_all = |log: &[String]| {
            statuses(log, target).len() == 1 && faults(log, target).len() == usize::from(case.fault.is_some())
        };
        assert!(has_all(&server.log_with(has_all)), "{program} {target}: {:#?}", server.log());
        assert_eq!(server.get("/fine").end, client::End::Whole, "{program}: the next request");
        server.ask_by(Signal::USR1, |_| true);
        let (answered, aborted) = if is_answered { (2, 0) } else { (1, 1) };
        server.line_with(&format!("2 requests: {answered} answered, {aborted} aborted, 0 shed"));
        return server.stop();
    };
    server.signal(first);
    if let Some(second) = second {
        // The line shows that the first signal was received: two of the same number may arrive as one.
        server.line_with("waiting up to ");
        server.signal(second);
    }
    server.wait().1
}

#[test]
fn l5_an_exchange_has_one_status_however_it_ends() {
    for case in &CASES {
        let Case { program, target, flags, has_head, status, fault, .. } = *case;
        let fine = format!("/fine={}", guest::program("hello").display());
        let server = Launch::program(program).flags(flags).flags(["--mount", &fine]).start();
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        if has_head {
            assert_eq!(client.head().expect("a response head").status, 200, "{program} {target}");
        } else if case.way != Way::Itself {
            server.ask_by(Signal::USR1, |log| log.iter().any(|line| line == "1 handler is running:"));
        }
        let log = end(server, client, case);
        let named = format!("{program} {target} {:?}: {log:#?}", case.way);
        assert_eq!(statuses(&log, target), [status], "{named}");
        let expected = fault.map(|fault| format!("{status} {fault}"));
        let faults = faults(&log, target);
        assert_eq!(faults.len(), usize::from(expected.is_some()), "{named}");
        assert!(faults.iter().zip(&expected).all(|(fault, expected)| fault.starts_with(&**expected)), "{named}");
    }
}

#[test]
fn an_error_page_that_its_client_does_not_take_keeps_its_status() {
    let server = Launch::program("traps").start();
    let mut client = Http2::connect(server.addr());
    // The client accepts the head, and no byte of a body.
    client.send(http2::frame(4, 0, 0, [0, 4, 0, 0, 0, 0]));
    let stream = client.ask(&http2::fields("GET", "/"));
    assert_eq!(client.head(stream).map(|head| head.status), Some(500));
    drop(client);
    let log = server.log_with(|log| log.iter().any(|line| line.contains("\"GET / HTTP/2\" ")));
    assert!(log.iter().any(|line| line.ends_with("\"GET / HTTP/2\" 500 -")), "{log:#?}");
    assert_eq!(log.iter().filter(|line| line.starts_with("[1] 500 trap: ")).count(), 1, "{log:#?}");
    assert_eq!(server.get("/fine").status, 200, "the next request");
}
