//! Handlers that compute forever, and the requests beside them (faults F1 and F27).

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::{Report, Scale, crowd, prober, report::in_ms, wire};
use crate::server::{Launch, Server};

/// The timeout of short exchanges.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn lay(scale: Scale) -> Report {
    let mut report = Report::new(
        "Handlers that spin",
        &["what", "spinning handlers", "answered; min / p50 / p99 / max", "the time limit of 2 s fired after"],
    );
    others(scale, &mut report);
    limit(scale, &mut report);
    leaving(scale, &mut report);
    report
}

/// A server whose handlers may spin for as long as the siege takes.
fn server(timeout: &str) -> Launch {
    Launch::mounted(&["spins", "speaks_wasi_http", "hello"]).flags(["--timeout", timeout, "--cpu-time", timeout])
}

/// A handler of our own world that spins after the first chunk of its body, and one of `wasi:http`.
const LATE: [&str; 2] = ["/spins/late", "/speaks_wasi_http/spins-in-the-body"];

/// Starts a handler that spins. Reads only the head of the response; the rest stays in the socket.
fn spinning(addr: SocketAddr, target: &str) -> TcpStream {
    let mut stream = wire::connect(addr, TIMEOUT).expect("the server listens");
    stream.write_all(&wire::get(target)).expect("the server reads the request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the response starts");
        head.extend_from_slice(&byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "the status is 200");
    let is_there = stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
    assert!(is_there, "the first chunk has arrived");
    stream
}

fn others(scale: Scale, report: &mut Report) {
    let probes = scale.of(1000, 50);
    let server = server("1h").start();
    drop(prober::probe(server.addr(), "/hello", 20));
    let mut spinners = Vec::new();
    for count in [0, 2, 8, 32] {
        while spinners.len() < count {
            spinners.push(spinning(server.addr(), LATE[spinners.len() % LATE.len()]));
        }
        let latencies = prober::probe(server.addr(), "/hello", probes);
        report.row(vec!["others".into(), count.to_string(), latencies.to_string(), String::new()]);
        report.count(&format!("requests not answered beside {count} spinners"), 0, latencies.failed());
        report.time(&format!("p99 beside {count} spinners"), Duration::from_millis(10), latencies.percentile(99));
        if let Some(failure) = latencies.failure() {
            report.note(format!("Beside {count} spinners: {failure}"));
        }
    }
}

fn limit(scale: Scale, report: &mut Report) {
    let server = server("2s").start();
    let rounds = scale.of(10, 1);
    let taken = crowd::each(2 * rounds, 2, |number| {
        let begun = Instant::now();
        let target = ["/spins", "/speaks_wasi_http/spins"][number % 2];
        let seen = wire::ask(server.addr(), &wire::get(target), TIMEOUT);
        (begun.elapsed(), seen.map(|seen| seen.status).ok())
    });
    let longest = taken.iter().map(|(taken, _)| *taken).max().unwrap_or_default();
    let shortest = taken.iter().map(|(taken, _)| *taken).min().unwrap_or_default();
    let fired = format!("{} to {}", in_ms(shortest), in_ms(longest));
    report.row(vec!["the limit".into(), "2".into(), String::new(), fired]);
    report.count("spinners without a 504", 0, taken.iter().filter(|(_, status)| *status != Some(504)).count() as u64);
    report.time("a limit of 2 s beside 2 spinners", Duration::from_millis(2200), longest);
}

/// How a client leaves.
#[derive(Clone, Copy)]
enum Farewell {
    /// With a reset, like a process that exits with unread bytes.
    Reset,
    /// With an orderly close, as if it only had nothing more to send.
    Close,
}

/// Measures how long a server keeps computing for clients that have left.
fn leaving(scale: Scale, report: &mut Report) {
    free(server("1h"), "their clients are gone", Farewell::Reset, scale, report);
    let launch = server("1h").flags(["--abort-on-half-close"]);
    free(launch, "their clients have closed, --abort-on-half-close", Farewell::Close, scale, report);
}

fn free(launch: Launch, what: &str, farewell: Farewell, scale: Scale, report: &mut Report) {
    let server = launch.start();
    let rounds = scale.of(10, 1);
    let mut freed = Vec::new();
    for _ in 0..rounds {
        let spinners = [LATE[0]; 2].map(|target| spinning(server.addr(), target));
        for mut spinner in spinners {
            if let Farewell::Close = farewell {
                // Closing a socket with unread bytes resets the connection.
                spinner.read_exact(&mut [0; FIRST.len()]).expect("the first chunk has arrived");
            }
        }
        freed.push(until_idle(&server));
        if freed.last().is_some_and(Option::is_none) {
            break;
        }
    }
    let longest = freed.iter().flatten().max().copied();
    let freed_after = longest.map_or("never".into(), in_ms);
    report.row(vec![what.into(), "2".into(), String::new(), format!("(freed after {freed_after})")]);
    report.count(
        &format!("instances that keep running: {what}"),
        0,
        2 * freed.iter().filter(|freed| freed.is_none()).count() as u64,
    );
    report.time(&format!("time until they are freed: {what}"), Duration::from_secs(1), longest.unwrap_or(TIMEOUT));
}

/// What `spins` sends before it spins.
const FIRST: &[u8] = b"5\r\nfirst\r\n";

/// Waits until the server has computed for less than a tenth of the time, for a while; `None` if that takes too long.
fn until_idle(server: &Server) -> Option<Duration> {
    const WINDOW: Duration = Duration::from_millis(400);
    let begun = Instant::now();
    while begun.elapsed() < TIMEOUT / 2 {
        let (before, at) = (server.computed(), begun.elapsed());
        thread::sleep(WINDOW / 8);
        if server.computed() != before {
            continue;
        }
        thread::sleep(WINDOW);
        if server.computed() - before <= WINDOW / 10 {
            return Some(at);
        }
    }
    None
}
