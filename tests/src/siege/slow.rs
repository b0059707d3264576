//! Clients that take their time: many connections that say nothing, or a little at a time (client faults C1 to C3).

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::{
    Report, Scale,
    prober::{self, Prober},
    report::{growth, in_ms},
    wire,
};
use crate::server::{Launch, Server};

/// A way to be slow.
struct Manner {
    name: &'static str,
    /// What is sent at once.
    begins: fn() -> Vec<u8>,
    /// What is sent again and again.
    drips: &'static [u8],
    /// Whether it reads nothing, so that its end is seen by the reset only.
    is_deaf: bool,
}

const MANNERS: [Manner; 4] = [
    Manner { name: "silent", begins: || Vec::new(), drips: b"", is_deaf: false },
    Manner {
        name: "slow head",
        begins: || b"GET /hello HTTP/1.1\r\nHost: siege\r\nX-Long: ".to_vec(),
        drips: b"x",
        is_deaf: false,
    },
    Manner {
        name: "slow body",
        begins: || b"POST /reads_input HTTP/1.1\r\nHost: siege\r\nContent-Length: 1000000\r\n\r\n".to_vec(),
        drips: b"x",
        is_deaf: false,
    },
    Manner { name: "slow reader", begins: || wire::get("/downloads"), drips: b"", is_deaf: true },
];

/// One octet each: far below any sensible rate.
const PACE: Duration = Duration::from_millis(500);

/// One client of each manner comes each: a thousand of them in a second. It is about those that are there, not about a storm
/// of new ones.
const ARRIVAL: Duration = Duration::from_millis(4);

pub(super) fn lay(scale: Scale) -> Report {
    let mut report = Report::new("Slow clients", &["what", "connections", "closed", "first and last closed after"]);
    let (each, limit) = scale.of((250, 5), (10, 1));
    let limit = Duration::from_secs(limit);
    let server = server(limit);
    let addr = server.addr();
    drop(prober::probe(addr, "/hello", 20));
    let before = prober::probe(addr, "/hello", scale.of(500, 20));
    let resident = server.resident();
    server.forget_peak();
    let prober = Prober::start(addr, "/hello");
    let closed = thread::scope(|scope| {
        let crowds: Vec<_> =
            MANNERS.iter().map(|manner| scope.spawn(|| crowd(addr, manner, each, limit * 8))).collect();
        crowds.into_iter().map(|crowd| crowd.join().expect("it does not panic")).collect::<Vec<_>>()
    });
    let beside = prober.stop();
    for (manner, closed) in MANNERS.iter().zip(closed) {
        let first = closed.iter().min().copied();
        let last = closed.iter().max().copied().filter(|_| closed.len() == each).unwrap_or(limit * 8);
        let times = format!("{} to {}", in_ms(first.unwrap_or_default()), in_ms(last));
        report.row(vec![manner.name.into(), each.to_string(), closed.len().to_string(), times]);
        report.count(&format!("{}: connections that stay open", manner.name), 0, (each - closed.len()) as u64);
        report.time(&format!("{}: closed at the limit", manner.name), limit + Duration::from_secs(1), last);
    }
    report.note(format!("Others, before: {before}. Others, beside the slow ones: {beside}."));
    report.count("others that were not answered", 0, beside.failed());
    report.time("others' p99, at most twice", before.percentile(99) * 2, beside.percentile(99));
    let grown = growth(resident, server.peak());
    // Half of them have a handler, which may take so much for a client that is slow (H16).
    let bound = (2 * each) as f64 * 0.25;
    report.measure("memory", format!("<= +{bound:.0} MiB"), format!("{grown:+.1} MiB"), grown <= bound);
    report
}

fn server(limit: Duration) -> Server {
    let mut launch = Launch::mounted(&["hello", "reads_input", "downloads"]);
    for flag in ["--head-timeout", "--body-timeout", "--write-timeout"] {
        launch = launch.flags([flag, &in_seconds(limit)]);
    }
    // What no other limit ends is ended by the handler's.
    launch.flags(["--timeout", &in_seconds(limit * 4)]).start()
}

fn in_seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// So many clients of one manner: when each was closed, of those that were.
fn crowd(addr: SocketAddr, manner: &Manner, count: usize, patience: Duration) -> Vec<Duration> {
    let begun = Instant::now();
    let mut clients = Vec::new();
    for number in 0..u32::try_from(count).unwrap_or(u32::MAX) {
        thread::sleep((begun + number * ARRIVAL).saturating_duration_since(Instant::now()));
        clients.push(Slow::connect(addr, manner));
    }
    let mut closed = Vec::new();
    let mut drip = begun + PACE;
    while !clients.is_empty() && begun.elapsed() < patience {
        thread::sleep(Duration::from_millis(50));
        let drips = if Instant::now() >= drip { manner.drips } else { b"" };
        if drip <= Instant::now() {
            drip += PACE;
        }
        clients.retain_mut(|client| {
            let is_closed = if manner.is_deaf { client.is_reset() } else { client.is_closed(drips) };
            if is_closed {
                closed.push(client.begun.elapsed());
            }
            !is_closed
        });
    }
    closed
}

struct Slow {
    stream: TcpStream,
    begun: Instant,
}

impl Slow {
    fn connect(addr: SocketAddr, manner: &Manner) -> Self {
        let mut stream = wire::connect(addr, Duration::from_secs(30)).expect("the server listens");
        stream.write_all(&(manner.begins)()).expect("the system takes it");
        stream.set_nonblocking(true).expect("a socket can be that");
        Self { stream, begun: Instant::now() }
    }

    /// Sends a little, and looks whether there is somebody.
    fn is_closed(&mut self, drips: &[u8]) -> bool {
        if !drips.is_empty() && self.stream.write_all(drips).is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
            return true;
        }
        let mut part = [0; 4096];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }

    /// Whether the server has given it up, which is seen without reading.
    fn is_reset(&self) -> bool {
        self.stream.take_error().is_ok_and(|error| error.is_some())
    }
}
