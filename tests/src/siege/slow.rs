//! Clients that take their time: many connections that say nothing, or a little at a time (client faults C1 to C3).

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
    report.note(format!("Others, before: {before}. Others, beside the slow ones: {beside}."));
    report.count("others that were not answered", 0, beside.failed());
    report.time("others' p99, at most twice", before.percentile(99) * 2, beside.percentile(99));
    let grown = growth(resident, server.peak());
    // Half of them have a handler, which may take so much for a client that is slow (F16).
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

/// So many clients of each manner: when each was closed, of those that were.
///
/// They live on one thread that sleeps until one of them has something to do, and each has a rhythm of its own. The server and
/// those who measure it share the cores with them: what they do in bursts would be taken for the server's doing.
fn crowds(addr: SocketAddr, each: usize, patience: Duration) -> [Vec<Duration>; MANNERS.len()] {
    let runtime = Builder::new_current_thread().enable_all().build().expect("the system has what it needs");
    runtime.block_on(async {
        let mut clients = JoinSet::new();
        for number in 0..u32::try_from(each).unwrap_or(u32::MAX) {
            for (kind, manner) in MANNERS.iter().enumerate() {
                let offset = ARRIVAL * number + ARRIVAL / 4 * u32::try_from(kind).unwrap_or(u32::MAX);
                clients.spawn(async move {
                    sleep(offset).await;
                    (kind, timeout(patience, stay(addr, manner)).await)
                });
            }
        }
        let mut closed = [const { Vec::new() }; MANNERS.len()];
        while let Some(client) = clients.join_next().await {
            if let (kind, Ok(after)) = client.expect("it does not panic") {
                closed[kind].push(after);
            }
        }
        closed
    })
}

/// Is such a client until it is closed: after how long that is.
async fn stay(addr: SocketAddr, manner: &Manner) -> Duration {
    let mut stream = TcpStream::connect(addr).await.expect("the server listens");
    let begun = Instant::now();
    stream.set_nodelay(true).expect("a socket can be that");
    stream.write_all(&(manner.begins)()).await.expect("the system takes it");
    // Since each of them has come at another time, they do not drip all at once.
    let mut drips = interval_at(begun + PACE, PACE);
    loop {
        tokio::select! {
            () = closed(&stream, manner.is_deaf) => break,
            _ = drips.tick(), if !manner.drips.is_empty() => {
                if stream.try_write(manner.drips).is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
                    break;
                }
            }
        }
    }
    begun.elapsed()
}

/// Ready when the server has given it up. Who is deaf learns of it without reading.
async fn closed(stream: &TcpStream, is_deaf: bool) {
    let mut part = [0; 4096];
    loop {
        let read = match is_deaf {
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
