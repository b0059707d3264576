//! How a server stops.

use std::{io::ErrorKind, net::TcpStream};

use rustix::process::Signal;
use wasmserve_tests::{
    client::{Client, Close, End},
    http2::{Http2, code},
    server::{Launch, Server},
};

/// A client whose exchange runs until it sends five bytes.
pub(super) fn running(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("POST /eager HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    let head = client.head().expect("a response head");
    assert_eq!(client.body(&head).next().as_deref(), Some(&b"reading\n"[..]));
    client
}

/// An idle keep-alive connection.
pub(super) fn idle(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client
}

/// Waits until a stopping server no longer accepts connections, which happens before it closes the idle ones.
fn wait_for_drain(server: &Server, mut idle: Client) {
    assert_eq!(idle.rest(), (Vec::new(), Close::Orderly), "an idle connection is closed");
    let refused = TcpStream::connect(server.addr()).expect_err("nothing is accepted");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// The rest of the response of [`running`].
fn rest(mut client: Client) -> String {
    String::from_utf8(client.rest().0).expect("the response is UTF-8")
}

#[test]
fn k12_running_exchanges_finish_and_idle_connections_do_not_delay_the_stop() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start("reads_input");
        let untouched = server.connect();
        let (idle, mut running) = (idle(&server), running(&server));
        server.signal(signal);
        wait_for_drain(&server, idle);
        wait_for_drain(&server, untouched);
        running.send("hello");
        let text = rest(running);
        assert!(text.ends_with("\r\n5 octets, trailers []\n\r\n0\r\n\r\n"), "a clean end: {text:?}");
        let (code, log) = server.wait();
        assert_eq!(code, Some(0), "{log:#?}");
        assert!(log.iter().any(|line| line.contains("\"POST /eager HTTP/1.1\" 200 -")), "{log:#?}");
    }
}

#[test]
fn p1_idle_http2_connections_do_not_delay_the_stop() {
    let server = Launch::program("hello").flags(["--drain", "1h"]).start();
    let (mut unused, mut used) = (Http2::connect(server.addr()), Http2::connect(server.addr()));
    // A client that the server has not heard from when it stops gets no GOAWAY.
    unused.settle();
    assert_eq!(used.get("/").status, 200);
    server.signal(Signal::TERM);
    for mut client in [unused, used] {
        let (goaway, close) = client.closed();
        assert_eq!((goaway.map(|goaway| goaway.code), close), (Some(code::NO_ERROR), Close::Orderly));
    }
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log:#?}");
}

#[test]
fn a_server_without_connections_stops_at_once() {
    let log = Server::start("hello").stop();
    assert_eq!(log.len(), 1, "{log:?}");
}

#[test]
fn k12_a_second_signal_stops_the_server_at_once() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Server::start("reads_input");
        let (idle, running) = (idle(&server), running(&server));
        server.signal(signal);
        wait_for_drain(&server, idle);
        server.signal(signal);
        let (code, log) = server.wait();
        assert_eq!(code, Some(130));
        assert!(!rest(running).ends_with("0\r\n\r\n"), "a truncated response does not look complete");
        let stopped = "[2] 200 stopped: response cut: the server was stopped (POST /eager HTTP/1.1)";
        assert!(log.iter().any(|line| line == stopped), "{log:#?}");
        assert!(log.iter().any(|line| line.contains("\"POST /eager HTTP/1.1\" ")), "L5: {log:#?}");
    }
}

#[test]
fn an_exchange_that_takes_longer_than_the_drain_is_cut() {
    let server = Launch::program("reads_input").flags(["--drain", "300ms"]).start();
    let running = running(&server);
    server.signal(Signal::TERM);
    let text = rest(running);
    assert!(!text.ends_with("0\r\n\r\n"), "a truncated response does not look complete: {text:?}");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log:#?}");
    let stopped = |line: &String| line.starts_with("[1] 200 stopped: ") && line.ends_with("(POST /eager HTTP/1.1)");
    assert!(log.iter().any(stopped), "{log:#?}");
}

#[test]
fn handlers_that_spin_or_sleep_delay_the_stop_at_most_by_the_drain() {
    for program in ["spins", "sleeps"] {
        let server = Launch::program(program).flags(["--drain", "300ms"]).start();
        let mut before = server.connect();
        before.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        server.ask_by(Signal::USR1, |log| log.iter().any(|line| line == "1 handler is running:"));
        let mut late = server.connect();
        late.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = late.head().expect("a response head");
        assert_eq!(late.body(&head).next().as_deref(), Some(&b"first"[..]));
        server.signal(Signal::TERM);
        let (code, log) = server.wait();
        assert_eq!(code, Some(0), "{program}: {log:#?}");
        if let Some(response) = before.try_response() {
            assert_eq!((response.status, response.end), (503, End::Whole), "{program}");
        }
        assert!(!rest(late).ends_with("0\r\n\r\n"), "{program}");
        let access = log.iter().filter(|line| line.contains(" HTTP/1.1\" "));
        assert_eq!(access.count(), 2, "L5: {log:#?}");
    }
}

#[test]
fn l5_no_line_is_lost_when_the_server_stops() {
    let server = Server::start("misbehaves");
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("GET /streams HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.head().expect("a response head").status, 200);
    }
    // The clients disconnect at once, and the server has to stop before it can have noticed all of them.
    let log = server.stop();
    assert_eq!(log.iter().filter(|line| line.contains("\"GET /streams HTTP/1.1\" ")).count(), 20, "{log:#?}");
}
