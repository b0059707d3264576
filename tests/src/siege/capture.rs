//! Everything captured, with a viewer open and a disk that is too small, under a load of large uploads and slow clients.

use std::{
    io::Read as _,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Report, Scale,
    prober::{Latencies, Prober},
    report::{growth, in_ms},
    wire,
};
use crate::{
    place::Place,
    server::{Launch, Server},
};

/// The size of an upload.
const UPLOAD: usize = 32 << 20;

/// How many clients upload in a loop.
const UPLOADERS: usize = 4;

/// The memory that captures may use, in MiB.
const MEMORY: u64 = 16;

/// What the server may need besides the memory for captures, in MiB, compared with one that captures nothing.
const BESIDE: u64 = 24;

const TOKEN: &str = "a-token-of-the-siege-0123";
const TIMEOUT: Duration = Duration::from_secs(60);

/// What was seen of one run.
struct Run {
    beside: Latencies,
    uploads: u64,
    failed: u64,
    /// How much memory the server needed at most.
    grown: f64,
    /// The state that the viewer shows, if there is one.
    state: Option<Value>,
}

pub(super) fn lay(scale: Scale) -> Report {
    let columns = &["server", "uploads", "others: answered; min / p50 / p99 / max", "peak memory"];
    let mut report = Report::new("Captured under load", columns);
    let place = Place::new();
    let plain = run(Launch::mounted(&["hello", "reads_input"]), None, scale);
    let captures = place.join("captures");
    std::fs::create_dir(&captures).expect("the directory is new");
    let memory = format!("{MEMORY}MiB");
    let launch = Launch::mounted(&["hello", "reads_input"])
        .flags(["--ui=127.0.0.1:0", "--ui-memory", &memory, "--capture"])
        .flags([&captures])
        .env("WASMSERVE_UI_TOKEN", TOKEN)
        .on_a_small_disk(&captures, scale.of(8, 2));
    let captured = run(launch, Some(()), scale);
    for (name, run) in [("without captures", &plain), ("with captures", &captured)] {
        let cells = [name.into(), run.uploads.to_string(), run.beside.to_string(), format!("{:.1} MiB", run.grown)];
        report.row(cells.into());
        report.count(&format!("{name}: uploads that failed"), 0, run.failed);
        report.count(&format!("{name}: other requests that were not answered"), 0, run.beside.failed());
    }
    let state = captured.state.expect("there is a viewer");
    let count = |pointer: &str| state.pointer(pointer).and_then(Value::as_u64).unwrap_or(u64::MAX);
    let (seen, removed) = (count("/counts/seen"), count("/counts/removed"));
    let asked = captured.uploads + captured.beside.asked() as u64;
    report.count("exchanges that were not seen", 0, asked.saturating_sub(seen));
    report.count("the memory of captures exceeds its limit", 0, u64::from(count("/memory/used") > MEMORY << 20));
    let (lost, is_shown) = (count("/files/lost"), state["files"]["problem"].is_string());
    report.count("the disk was full, and that is not shown", 0, u64::from(!is_shown));
    report.note(format!("{seen} exchanges seen, {removed} removed from memory, {lost} not written to the full disk."));
    #[expect(clippy::cast_precision_loss, reason = "these are small numbers")]
    let bound = plain.grown + (MEMORY + BESIDE) as f64;
    let grown = captured.grown;
    report.measure("memory", format!("<= {bound:.0} MiB"), format!("{grown:.1} MiB"), grown <= bound);
    let (before, after) = (plain.beside.percentile(99), captured.beside.percentile(99));
    report.time("p99 of other requests, at most doubled", before * 2, after);
    report.note(format!("p99 without captures {}, with {}.", in_ms(before), in_ms(after)));
    report
}

/// Runs the load on a server; `viewed` if it has a viewer.
fn run(launch: Launch, viewed: Option<()>, scale: Scale) -> Run {
    // The slow clients have handlers, and must not take the places of others.
    let flags = ["--max-body", "64MiB", "--max-exchanges", "2000", "--access-log-format", "none"];
    let server = launch.flags(flags).start();
    let addr = server.addr();
    let viewer = viewed.map(|()| viewer(&server));
    let slow = slow(addr, scale.of(1000, 50));
    let resident = server.resident();
    server.forget_peak();
    let prober = Prober::start(addr, "/hello");
    let (uploads, failed, is_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let upload = wire::post("/reads_input", UPLOAD);
    let end = Instant::now() + Duration::from_secs(scale.of(60, 3));
    thread::scope(|scope| {
        if let Some(viewer) = viewer {
            let is_over = &is_over;
            scope.spawn(move || look(viewer, is_over));
        }
        let uploaders: Vec<_> = (0..UPLOADERS)
            .map(|_| {
                scope.spawn(|| {
                    while Instant::now() < end {
                        let is_right = wire::ask(addr, &upload, TIMEOUT).is_ok_and(|seen| seen.status == 200);
                        uploads.fetch_add(1, Ordering::Relaxed);
                        failed.fetch_add(u64::from(!is_right), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        uploaders.into_iter().for_each(|uploader| uploader.join().expect("the thread does not panic"));
        is_over.store(true, Ordering::Relaxed);
    });
    let beside = prober.stop();
    let grown = growth(resident, server.peak());
    drop(slow);
    let state = viewer.map(|viewer| state_with(viewer, uploads.load(Ordering::Relaxed) + beside.asked() as u64));
    drop(server.stop());
    Run { beside, uploads: uploads.into_inner(), failed: failed.into_inner(), grown, state }
}

/// The address of the viewer.
fn viewer(server: &Server) -> SocketAddr {
    let line = server.line_with("viewer on http://");
    let addr = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    addr.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Clients that have begun an upload and send no more.
fn slow(addr: SocketAddr, count: usize) -> Vec<std::net::TcpStream> {
    let begin = b"POST /reads_input HTTP/1.1\r\nHost: siege\r\nContent-Length: 1000000\r\n\r\nbegin";
    (0..count)
        .map(|_| {
            let mut stream = wire::connect(addr, TIMEOUT).expect("the server listens");
            std::io::Write::write_all(&mut stream, begin).expect("the socket buffer has room");
            stream
        })
        .collect()
}

fn request(viewer: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {viewer}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// Follows the events, as an open page does, until it is over.
fn look(viewer: SocketAddr, is_over: &AtomicBool) {
    let mut stream = wire::connect(viewer, Duration::from_millis(500)).expect("the viewer listens");
    std::io::Write::write_all(&mut stream, &request(viewer, "/api/events?after=0")).expect("the viewer reads");
    let mut part = vec![0; 64 << 10];
    while !is_over.load(Ordering::Relaxed) {
        if stream.read(&mut part).is_ok_and(|length| length == 0) {
            return;
        }
    }
}

/// What the viewer shows once it has seen this many exchanges, and that the disk is full. Those that begin last are
/// complete a little later, and are written after that.
fn state_with(viewer: SocketAddr, asked: u64) -> Value {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let answer = wire::ask(viewer, &request(viewer, "/api/state"), TIMEOUT).expect("the viewer answers");
        let state: Value = serde_json::from_slice(&answer.body).expect("the viewer answers with JSON");
        let is_full = state["files"]["problem"].is_string();
        if state["counts"]["seen"].as_u64() >= Some(asked) && is_full || Instant::now() > deadline {
            return state;
        }
        thread::yield_now();
    }
}
