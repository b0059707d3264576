//! Stops servers under load.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{Report, Scale, report::in_ms, wire};
use crate::server::Launch;

/// How many clients send requests in a loop.
const CLIENTS: usize = 16;

/// Anything that takes longer is a hang.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The targets, each with a known complete response.
const TARGETS: [&str; 3] = ["/hello", "/drips?n=20&ms=10", "/downloads?blocks=12"];

pub(super) fn lay(scale: Scale) -> Report {
    let mut report = Report::new(
        "Stopped under load",
        &["signal", "rounds", "complete", "not started", "cut", "cut but looks complete", "slowest exit"],
    );
    let mut slowest = Duration::ZERO;
    let (mut cut, mut wrong, mut exits) = (0, 0, 0);
    for (signal, name, rounds) in [(Signal::TERM, "SIGTERM", scale.of(50, 2)), (Signal::INT, "SIGINT", scale.of(20, 1))]
    {
        let sums = Sums::default();
        let mut longest = Duration::ZERO;
        for _ in 0..rounds {
            let (code, took) = round(signal, &sums);
            exits += u64::from(code != Some(0));
            longest = longest.max(took);
        }
        let [whole, unbegun, broken, forged] =
            [&sums.whole, &sums.unbegun, &sums.cut, &sums.forged].map(|sum| sum.load(Ordering::Relaxed));
        report.row(vec![
            name.into(),
            rounds.to_string(),
            whole.to_string(),
            unbegun.to_string(),
            broken.to_string(),
            forged.to_string(),
            in_ms(longest),
        ]);
        cut += broken as u64;
        wrong += forged as u64;
        slowest = slowest.max(longest);
    }
    report.count("responses cut before the drain timeout", 0, cut);
    report.count("truncated responses that look complete", 0, wrong);
    report.count("exit codes other than 0", 0, exits);
    report.time("the exit of the server", Duration::from_millis(10_500), slowest);
    report
}

#[derive(Default)]
struct Sums {
    whole: AtomicUsize,
    /// No byte of a response was received: the connection was closed before its request was read.
    unbegun: AtomicUsize,
    cut: AtomicUsize,
    /// The response looks complete, but is wrong.
    forged: AtomicUsize,
}

/// Stops a server under load. Returns its exit code, and how long it took to exit.
fn round(signal: Signal, sums: &Sums) -> (Option<i32>, Duration) {
    let server = Launch::mounted(&["hello", "drips", "downloads"]).start();
    let (addr, is_over, answered) = (server.addr(), AtomicBool::new(false), AtomicUsize::new(0));
    // An idle connection must not delay the exit.
    let _idle = wire::connect(addr, TIMEOUT).expect("the server listens");
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (is_over, answered) = (&is_over, &answered);
            scope.spawn(move || ask_on(addr, TARGETS[number % TARGETS.len()], sums, is_over, answered));
        }
        while answered.load(Ordering::Relaxed) < CLIENTS * 4 {
            thread::yield_now();
        }
        let asked = Instant::now();
        server.signal(signal);
        let (code, _) = server.wait();
        let took = asked.elapsed();
        is_over.store(true, Ordering::Relaxed);
        (code, took)
    })
}

fn ask_on(addr: SocketAddr, target: &str, sums: &Sums, is_over: &AtomicBool, answered: &AtomicUsize) {
    while !is_over.load(Ordering::Relaxed) {
        let sum = match wire::ask(addr, &wire::get(target), TIMEOUT) {
            Ok(seen) if seen.is_whole && seen.status == 200 => {
                answered.fetch_add(1, Ordering::Relaxed);
                if is_complete(target, &seen.body) { &sums.whole } else { &sums.forged }
            }
            Ok(_) => &sums.cut,
            // The server no longer listens.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
            Err(error) if is_unbegun(&error) => &sums.unbegun,
            Err(_) => &sums.cut,
        };
        sum.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_unbegun(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | BrokenPipe | NotConnected | UnexpectedEof)
}

fn is_complete(target: &str, body: &[u8]) -> bool {
    match target {
        "/hello" => body == b"Hello, World!\n",
        "/drips?n=20&ms=10" => {
            body == (1..=20).map(|number| format!("line {number} of 20\n")).collect::<String>().as_bytes()
        }
        _ => body.len() == 12 * (64 << 10),
    }
}
