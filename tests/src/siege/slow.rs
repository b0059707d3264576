//! Slow clients: many connections that send nothing, or a little at a time (client faults C1 to C3).

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::TcpStream,
    runtime::Builder,
    task::JoinSet,
    time::{Instant, interval_at, sleep, timeout},
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
    /// The bytes that are sent at once.
    begins: fn() -> Vec<u8>,
    /// The bytes that are sent repeatedly.
    drips: &'static [u8],
    /// Whether the client reads nothing, and so notices the end of the connection only by a reset.
    reads_nothing: bool,
}

const MANNERS: [Manner; 4] = [
    Manner { name: "silent", begins: || Vec::new(), drips: b"", reads_nothing: false },
    Manner {
        name: "slow head",
        begins: || b"GET /hello HTTP/1.1\r\nHost: siege\r\nX-Long: ".to_vec(),
        drips: b"x",
        reads_nothing: false,
    },
    Manner {
        name: "slow body",
        begins: || b"POST /reads_input HTTP/1.1\r\nHost: siege\r\nContent-Length: 1000000\r\n\r\n".to_vec(),
        drips: b"x",
        reads_nothing: false,
    },
    Manner { name: "slow reader", begins: || wire::get("/downloads"), drips: b"", reads_nothing: true },
];

/// One byte is sent per interval: far below any sensible rate.
const PACE: Duration = Duration::from_millis(500);

/// One client of each kind connects per interval, a thousand in a second. The siege is about open connections, not
/// about a burst of new ones.
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
    let closed = crowds(addr, each, limit * 8);
    let beside = prober.stop();
    for (manner, closed) in MANNERS.iter().zip(closed) {
        let first = closed.iter().min().copied();
        let last = closed.iter().max().copied().filter(|_| closed.len() == each).unwrap_or(limit * 8);
        let times = format!("{} to {}", in_ms(first.unwrap_or_default()), in_ms(last));
        report.row(vec![manner.name.into(), each.to_string(), closed.len().to_string(), times]);
        report.count(&format!("{}: connections that stay open", manner.name), 0, (each - closed.len()) as u64);
        report.time(&format!("{}: closed at the limit", manner.name), limit + Duration::from_secs(1), last);
    }
    report.note(format!("Other requests, before: {before}; beside the slow clients: {beside}."));
    report.count("other requests that were not answered", 0, beside.failed());
    report.time("p99 of other requests, at most doubled", before.percentile(99) * 2, beside.percentile(99));
    let grown = growth(resident, server.peak());
    // Half of the clients have a handler, which may use this much memory for a slow client (F16).
    let bound = (2 * each) as f64 * 0.25;
    report.measure("memory", format!("<= +{bound:.0} MiB"), format!("{grown:+.1} MiB"), grown <= bound);
    report
}

fn server(limit: Duration) -> Server {
    let mut launch = Launch::mounted(&["hello", "reads_input", "downloads"]);
    for flag in ["--head-timeout", "--body-timeout", "--write-timeout"] {
        launch = launch.flags([flag, &in_seconds(limit)]);
    }
    // Whatever no other limit ends, the handler's limit ends.
    launch.flags(["--timeout", &in_seconds(limit * 4)]).start()
}

fn in_seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// Runs this many clients of each kind. Returns when each was closed, if it was.
///
/// They share one thread that sleeps until one of them has something to do, and each has its own rhythm. The server and
/// the prober share the cores with them, so bursts of theirs would be attributed to the server.
fn crowds(addr: SocketAddr, each: usize, time_limit: Duration) -> [Vec<Duration>; MANNERS.len()] {
    let runtime = Builder::new_current_thread().enable_all().build().expect("the system can provide a runtime");
    runtime.block_on(async {
        let mut clients = JoinSet::new();
        for number in 0..u32::try_from(each).unwrap_or(u32::MAX) {
            for (kind, manner) in MANNERS.iter().enumerate() {
                let offset = ARRIVAL * number + ARRIVAL / 4 * u32::try_from(kind).unwrap_or(u32::MAX);
                clients.spawn(async move {
                    sleep(offset).await;
                    (kind, timeout(time_limit, stay(addr, manner)).await)
                });
            }
        }
        let mut closed = [const { Vec::new() }; MANNERS.len()];
        while let Some(client) = clients.join_next().await {
            if let (kind, Ok(after)) = client.expect("the task does not panic") {
                closed[kind].push(after);
            }
        }
        closed
    })
}

/// Acts as such a client until the server closes the connection. Returns how long that took.
async fn stay(addr: SocketAddr, manner: &Manner) -> Duration {
    let mut stream = TcpStream::connect(addr).await.expect("the server listens");
    let begun = Instant::now();
    stream.set_nodelay(true).expect("TCP sockets have this option");
    stream.write_all(&(manner.begins)()).await.expect("the socket buffer has room");
    // The clients have connected at different times, so they do not send at the same moments.
    let mut drips = interval_at(begun + PACE, PACE);
    loop {
        tokio::select! {
            () = closed(&stream, manner.reads_nothing) => break,
            _ = drips.tick(), if !manner.drips.is_empty() => {
                if stream.try_write(manner.drips).is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
                    break;
                }
            }
        }
    }
    begun.elapsed()
}

/// Waits until the server closes the connection. A client that does not read notices it without reading.
async fn closed(stream: &TcpStream, reads_nothing: bool) {
    let mut part = [0; 4096];
    loop {
        let read = match reads_nothing {
            true => stream.ready(Interest::ERROR).await.map(|_| 0),
            false => stream.readable().await.and_then(|()| stream.try_read(&mut part)),
        };
        match read {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}
