//! Exchanges whose handlers wait for a body that does not arrive.
//!
//! Measures how many fit and how much memory each needs, and checks that all of them are answered when the body finally
//! arrives.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use wasmserve_tests::{place, table::Table};

use crate::{
    args::Plan,
    contender::Grid,
    process::{Family, Process, free_addr},
    spread::{Rounded, Spread},
};

/// The timeout for all of them to start, and to be answered.
const TIMEOUT: Duration = Duration::from_secs(60);

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
const BODY: &[u8] = b"hello";

/// The result of one round.
#[derive(Default)]
pub(super) struct Seen {
    waiting: usize,
    pub(super) answered: usize,
    /// The reason of the first failure.
    pub(super) failure: Option<String>,
    /// KiB: before; for each waiting exchange its own memory, shared pages and page tables; and after.
    idle: f64,
    each: f64,
    /// KiB for each waiting exchange, where a page counts once however many have it.
    pub(super) proportional: f64,
    shared: f64,
    page_tables: f64,
    after: f64,
    mappings: usize,
}

/// Measures, and prints a table.
///
/// # Errors
///
/// The server does not start, or an exchange was not admitted or not answered.
pub(super) fn run(plan: &Plan) -> Result<()> {
    let grid = Grid::new(plan.wasmserve.clone());
    let wanted = plan.waiting();
    let mut rounds = Vec::new();
    for round in 0..plan.rounds() {
        let seen = measure(&grid, wanted)?;
        let (round, of) = (round + 1, plan.rounds());
        super::progress(&format!("round {round} of {of}: {} wait, {} KiB each", seen.waiting, Rounded(seen.each)));
        rounds.push(seen);
    }
    let least = |figure: fn(&Seen) -> usize| rounds.iter().map(figure).min().unwrap_or_default();
    let spread = |figure: fn(&Seen) -> f64| Spread::of(rounds.iter().map(figure)).to_string();
    let mut table = Table::new(
        "Exchanges that wait for their bodies",
        &[
            "wanted",
            "waiting",
            "answered",
            "KiB each",
            "shared pages, KiB each",
            "page tables, KiB each",
            "mappings",
            "RSS MiB before → after",
        ],
    );
    table.row(vec![
        wanted.to_string(),
        least(|seen| seen.waiting).to_string(),
        least(|seen| seen.answered).to_string(),
        spread(|seen| seen.each),
        spread(|seen| seen.shared),
        spread(|seen| seen.page_tables),
        least(|seen| seen.mappings).to_string(),
        format!("{} → {}", spread(|seen| seen.idle / 1024.0), spread(|seen| seen.after / 1024.0)),
    ]);
    table.note("The least of all rounds, or the median (min–max).");
    table.note("Shared pages are the handler's unmodified data: in RSS for each exchange, in memory once.");
    table.note("Page tables belong to the system, and are not part of RSS.");
    let failure = rounds.iter().find_map(|seen| seen.failure.clone());
    failure.iter().for_each(|failure| table.note(format!("The first failure: {failure}")));
    super::print(&table);
    let answered = least(|seen| seen.answered);
    ensure!(answered == wanted, "{} exchanges of {wanted} were not answered", wanted - answered);
    Ok(())
}

fn measure(grid: &Grid, wanted: usize) -> Result<Seen> {
    let stats = free_addr()?;
    // A handler in Rust needs a little more than 1 MiB from the start, whether it uses it or not.
    let words = [vec![grid.guest("echo")?.display().to_string()], flags(wanted, 2 * wanted, stats)].concat();
    let server = grid.wasmserve(&words, &place::shared_cache())?;
    hold(&server, wanted, || live(stats))
}

/// All other limits keep their defaults, except for those that would refuse or end waiting exchanges, and for the total
/// memory, in MiB.
pub(super) fn flags(wanted: usize, memory: usize, stats: SocketAddr) -> Vec<String> {
    vec![
        // The first request, which shows that the server has started, may not have ended yet.
        format!("--max-exchanges={}", wanted + 16),
        format!("--max-connections={}", wanted + 16),
        format!("--max-total-memory={}MiB", memory.max(2048)),
        "--queue-wait=10m".into(),
        "--timeout=10m".into(),
        "--body-timeout=10m".into(),
        "--min-rate=0".into(),
        format!("--stats={stats}"),
    ]
}

/// Lets this many exchanges wait for their bodies, weighs them, and lets them end. `live` says how many are running.
pub(super) fn hold(server: &Process, wanted: usize, live: impl Fn() -> Result<usize>) -> Result<Seen> {
    let idle = Weight::of(&server.family());
    let mut seen = Seen { idle: idle.resident, ..Seen::default() };
    let mut clients = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        match begin(server.addr()) {
            Ok(client) => clients.push(client),
            Err(error) => seen.fail(error.to_string()),
        }
    }
    let deadline = Instant::now() + TIMEOUT;
    let mut computed = None;
    // They wait when all are running, and none of them computes any more.
    while Instant::now() < deadline {
        seen.waiting = live()?;
        let now = server.family().cpu();
        if seen.waiting >= clients.len() && computed.replace(now) == Some(now) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    seen.weigh(&server.family(), &idle);
    for mut client in clients {
        match finish(&mut client) {
            Ok(()) => seen.answered += 1,
            Err(error) => seen.fail(format!("{error:#}")),
        }
    }
    seen.after = kib(server.family().resident());
    Ok(seen)
}

impl Seen {
    fn fail(&mut self, failure: String) {
        self.failure.get_or_insert(failure);
    }

    fn weigh(&mut self, family: &Family, idle: &Weight) {
        let now = Weight::of(family);
        #[expect(clippy::cast_precision_loss, reason = "only three digits are shown")]
        let each = |figure: fn(&Weight) -> f64| (figure(&now) - figure(idle)) / self.waiting.max(1) as f64;
        let figures =
            (each(|weight| weight.own), each(|weight| weight.resident - weight.own), each(|weight| weight.tables));
        (self.each, self.shared, self.page_tables) = figures;
        self.proportional = each(|weight| weight.proportional);
        self.mappings = family.mappings();
    }
}

/// The memory of a server at one moment, in KiB.
struct Weight {
    resident: f64,
    own: f64,
    proportional: f64,
    tables: f64,
}

impl Weight {
    fn of(family: &Family) -> Self {
        Self {
            resident: kib(family.resident()),
            own: kib(family.own()),
            proportional: kib(family.proportional()),
            tables: kib(family.page_tables()),
        }
    }
}

fn begin(addr: SocketAddr) -> Result<TcpStream> {
    let mut client = TcpStream::connect_timeout(&addr, TIMEOUT).context("connect")?;
    client.set_read_timeout(Some(TIMEOUT))?;
    client.write_all(HEAD)?;
    Ok(client)
}

fn finish(client: &mut TcpStream) -> Result<()> {
    // The server may have refused the request and closed the connection. The response has the reason.
    _ = client.write_all(BODY);
    let mut answer = String::new();
    client.read_to_string(&mut answer).context("no answer")?;
    let line = answer.lines().next().unwrap_or_default();
    ensure!(line.split(' ').nth(1) == Some("200"), "{line}");
    ensure!(answer.contains("hello"), "an answer without the body");
    Ok(())
}

/// How many handlers are running, according to the server's statistics.
pub(super) fn live(stats: SocketAddr) -> Result<usize> {
    let mut client = TcpStream::connect_timeout(&stats, TIMEOUT).context("the statistics do not answer")?;
    client.set_read_timeout(Some(TIMEOUT))?;
    client.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    client.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix("wasmserve_instances_live "));
    line.and_then(|count| count.trim().parse().ok()).context("the statistics have no number of running handlers")
}

#[expect(clippy::cast_precision_loss, reason = "only three digits are shown")]
fn kib(kib: u64) -> f64 {
    kib as f64
}
