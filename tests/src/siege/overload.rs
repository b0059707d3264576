//! Sends three times as many requests as a server can answer.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::{Report, Scale, crowd, prober::Latencies, report::in_ms, wire};
use crate::server::Launch;

/// Anything that takes longer is a hang.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The time that one request takes on an idle machine.
const WORK: Duration = Duration::from_millis(20);

pub(super) fn lay(scale: Scale) -> Report {
    let mut report = Report::new(
        "Overload by a factor of three",
        &[
            "what",
            "requests per second",
            "200 per second",
            "200: min / p50 / p99 / max",
            "503",
            "503: min / p50 / p99 / max",
            "else",
        ],
    );
    let server = Launch::mounted(&["computes"]).start();
    let addr = server.addr();
    let target = calibrate(addr);
    let peak = peak(addr, &target, scale.of(Duration::from_secs(10), Duration::from_secs(1)));
    report.row(peak.cells("peak", "".into()));
    let lasts = scale.of(Duration::from_secs(30), Duration::from_secs(2));
    let rate = peak.rate() * 3.0;
    let over = overload(addr, &target, rate, lasts);
    report.row(over.cells("three times the peak", format!("{rate:.0}")));

    let share = over.rate() * 100.0 / peak.rate().max(0.1);
    report.measure("goodput", ">= 90 % of the peak", format!("{share:.0} %"), share >= 90.0);
    report.count("neither 200 nor 503 with Retry-After, or a hang", 0, over.others);
    report.time("503 within", Duration::from_millis(50), over.refused.percentile(99));
    report.time("accepted, p99", Duration::from_millis(2500), over.answered.percentile(99));
    report.count("not answered afterwards", 0, u64::from(!peak_again(addr)));
    report
}

/// The results of many requests.
struct Outcome {
    lasted: Duration,
    answered: Latencies,
    refused: Latencies,
    others: u64,
}

impl Outcome {
    fn of(results: Vec<(Duration, Option<u16>)>, lasted: Duration) -> Self {
        let of = |status: u16| {
            let taken = results.iter().filter(|(_, other)| *other == Some(status)).map(|(taken, _)| *taken);
            Latencies::of(taken.collect())
        };
        let (answered, refused) = (of(200), of(503));
        let others = (results.len() - answered.asked() - refused.asked()) as u64;
        Self { lasted, answered, refused, others }
    }

    fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "the count is far below 2^53")]
        {
            self.answered.asked() as f64 / self.lasted.as_secs_f64()
        }
    }

    fn cells(&self, what: &str, asked: String) -> Vec<String> {
        let times =
            |latencies: &Latencies| [0, 50, 99, 100].map(|percent| in_ms(latencies.percentile(percent))).join(" / ");
        vec![
            what.into(),
            asked,
            format!("{:.1}", self.rate()),
            times(&self.answered),
            self.refused.asked().to_string(),
            times(&self.refused),
            self.others.to_string(),
        ]
    }
}

/// A target that takes about [`WORK`] to answer.
fn calibrate(addr: SocketAddr) -> String {
    let mut turns = 100_000_u64;
    loop {
        let target = format!("/computes?turns={turns}");
        let taken = (0..5).map(|_| ask(addr, &target, Instant::now()).0).min().unwrap_or_default();
        if taken >= WORK / 2 || turns > 1 << 40 {
            return target;
        }
        turns *= 2;
    }
}

/// Sends one request. Returns the time since it was due, and the status if the response is valid.
fn ask(addr: SocketAddr, target: &str, due: Instant) -> (Duration, Option<u16>) {
    let seen = wire::ask(addr, &wire::get(target), TIMEOUT);
    let is_right = |seen: &wire::Seen| seen.is_whole && (seen.status != 503 || seen.says_when);
    (due.elapsed(), seen.ok().filter(is_right).map(|seen| seen.status))
}

/// Sends as many requests as the server can answer.
fn peak(addr: SocketAddr, target: &str, lasts: Duration) -> Outcome {
    let begun = Instant::now();
    let results = crowd::each(4, 4, |_| {
        let mut results = Vec::new();
        while begun.elapsed() < lasts {
            results.push(ask(addr, target, Instant::now()));
        }
        results
    });
    Outcome::of(results.into_iter().flatten().collect(), begun.elapsed())
}

/// Sends requests at a fixed rate, each on its own thread, so that none waits for another.
fn overload(addr: SocketAddr, target: &str, rate: f64, lasts: Duration) -> Outcome {
    let begun = Instant::now();
    let pace = Duration::from_secs_f64(1.0 / rate.max(1.0));
    let results = thread::scope(|scope| {
        let mut due = begun;
        let mut asking = Vec::new();
        while due < begun + lasts {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let builder = thread::Builder::new().stack_size(256 << 10);
            let spawned = builder.spawn_scoped(scope, move || ask(addr, target, due));
            asking.push(spawned.expect("the system has threads left"));
            due += pace;
        }
        asking.into_iter().map(|asking| asking.join().expect("the thread does not panic")).collect()
    });
    // Responses that arrive after the end of the overload are not counted, and neither is the time that they take.
    let goodput: Vec<(Duration, Option<u16>)> = results;
    Outcome::of(goodput, lasts.max(begun.elapsed().min(lasts + Duration::from_secs(3))))
}

fn peak_again(addr: SocketAddr) -> bool {
    ask(addr, "/computes?turns=1", Instant::now()).1 == Some(200)
}
