//! Exhausts the descriptors of a server.

use std::{
    iter,
    time::{Duration, Instant},
};

use super::{Report, Scale, prober, report::in_ms, wire};
use crate::server::Launch;

/// The timeout of short exchanges.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn lay(scale: Scale) -> Report {
    let mut report =
        Report::new("Exhausted descriptors", &["round", "connections held", "descriptors", "answered again after"]);
    let rounds = scale.of(20, 3);
    let server = Launch::mounted(&["hello"]).start();
    let addr = server.addr();
    drop(prober::probe(addr, "/hello", 20));
    let limit = server.descriptors() + 20;
    server.limit_descriptors(limit);
    let (mut longest, mut unanswered) = (Duration::ZERO, 0);
    for round in 1..=rounds {
        let held: Vec<_> =
            (0..100).map(|_| wire::connect(addr, TIMEOUT).expect("the system queues the connection")).collect();
        // Nothing is answered while these are held. This connection waits behind them.
        let blocked = wire::ask(addr, &wire::get("/hello"), Duration::from_millis(300));
        let count = server.descriptors();
        let held_count = held.len();
        drop(held);
        let freed = Instant::now();
        // A client is turned away until the server has noticed that descriptors are free, and asks again.
        let is_answered = || wire::ask(addr, &wire::get("/hello"), TIMEOUT).is_ok_and(|seen| seen.status == 200);
        let answered = iter::repeat_with(is_answered).find(|answered| *answered || freed.elapsed() > TIMEOUT);
        unanswered += u64::from(answered != Some(true));
        longest = longest.max(freed.elapsed());
        let was = if blocked.is_ok() { ", and not exhausted" } else { "" };
        report.row(vec![
            round.to_string(),
            held_count.to_string(),
            format!("{count} of {limit}{was}"),
            in_ms(freed.elapsed()),
        ]);
    }
    report.count("not answered afterwards", 0, unanswered);
    report.time("recovery", Duration::from_secs(1), longest);
    server.signal(rustix::process::Signal::TERM);
    report.count("exits", 0, u64::from(server.wait().0 != Some(0)));
    report
}
