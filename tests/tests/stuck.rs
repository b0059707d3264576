//! The stack of a stuck handler in the log, after a timeout and on a signal.

use rustix::process::Signal;
use wasmserve_tests::{
    guest,
    server::{Launch, Server},
};

use super::process::running;

/// Whether a line of the log contains `part`, and the stack below it has a line that begins with `place`.
fn has_stack(log: &[String], part: &str, place: &str) -> bool {
    (0..log.len()).filter(|at| log[*at].contains(part)).any(|at| {
        let id = log[at].split_once(' ').expect("the line begins with an id").0.to_owned() + "   ";
        let stack: Vec<_> = log[at + 1..].iter().map_while(|line| line.strip_prefix(&id)).collect();
        assert!(stack.len() <= 15, "the stack does not fit on a screen: {stack:#?}");
        stack.iter().any(|line| line.starts_with(place))
    })
}

/// Waits until the log [has this stack](has_stack).
fn wait_for_stack(server: &Server, part: &str, place: &str) {
    let log = server.log_with(|log| has_stack(log, part, place));
    assert!(has_stack(&log, part, place), "{part}, {place}: {log:#?}");
}

/// `spins` at `/`, `sleeps` at `/sleeps`, `reads_input` at `/reads`.
fn server(flags: &[&str]) -> Server {
    let at = |path: &str, name: &str| format!("{path}={}", guest::program(name).display());
    let mounts = [at("/sleeps", "sleeps"), at("/reads", "reads_input")];
    Launch::program("stuck").flags(mounts.iter().flat_map(|mount| ["--mount", mount])).flags(flags).start()
}

#[test]
fn f1_a_handler_that_computes_too_long_is_logged_with_its_stack() {
    let server = server(&["--cpu-time", "300ms"]);
    let refused = server.get("/");
    assert_eq!((refused.status, refused.field("wasmserve-fault")), (504, Some("cpu-limit")));
    let line = "504 cpu-limit: the handler computed for longer than --cpu-time allows (GET / HTTP/1.1)";
    wait_for_stack(&server, line, "at stuck::stuck_here");
}

#[test]
fn f19_a_handler_that_waits_too_long_is_logged_with_its_wait_and_its_stack() {
    let server = server(&["--timeout", "300ms"]);
    assert_eq!(server.get("/sleeps").field("wasmserve-fault"), Some("wall-limit"));
    wait_for_stack(&server, "s in `wasi:io/poll.block` (GET /sleeps HTTP/1.1)", "at sleeps::app");
}

#[test]
fn sleeping_uses_no_cpu_time() {
    let server = server(&["--cpu-time", "100ms", "--timeout", "500ms"]);
    assert_eq!(server.get("/sleeps").field("wasmserve-fault"), Some("wall-limit"));
}

#[test]
fn p3_sigquit_and_sigusr1_list_running_handlers_without_stopping_the_server() {
    let server = server(&[]);
    let requests = ["/", "/sleeps", "/reads/eager"].map(|target| {
        let mut client = server.connect();
        client.send(format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"));
        client
    });
    let each = [
        ("POST / HTTP/1.1", "computing", "at stuck::stuck_here"),
        ("POST /sleeps HTTP/1.1", "waiting in `wasi:io/poll.block` for ", "at sleeps::app"),
        ("POST /reads/eager HTTP/1.1", "waiting in `wasmserve:gateway/input.read` for ", "at reads_input::app"),
    ];
    for signal in [Signal::QUIT, Signal::USR1] {
        let before = server.log().len();
        server.ask_by(signal, |log| {
            let log = &log[before..];
            let is_listed = |(request, does, place): &(&str, &str, &str)| {
                let is_it =
                    |line: &&String| line.contains(&format!("{request} from 127.0.0.1:")) && line.contains(does);
                log.iter().filter(is_it).any(|line| has_stack(log, line, place))
            };
            log.iter().any(|line| line == "3 handlers are running:") && each.iter().all(is_listed)
        });
    }
    drop(requests);
    assert_eq!(server.get("/reads").status, 200);
}

#[test]
fn p2_ctrl_c_lists_running_handlers_before_the_server_stops() {
    let server = Launch::program("reads_input").start();
    let mut client = running(&server);
    server.signal(Signal::INT);
    server.line_with("1 handler is running:");
    wait_for_stack(&server, "POST /eager HTTP/1.1 from 127.0.0.1:", "at reads_input::app");
    client.send("hello");
    let (rest, _) = client.rest();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the response is complete: {}", rest.escape_ascii());
    assert_eq!(server.wait().0, Some(0));
}
