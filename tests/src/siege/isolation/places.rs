//! Marks in every place that a guest can reach, and guests that search for them.
//!
//! Covers each way to end, and servers with too little memory or too few descriptors.

use std::{
    io,
    iter::repeat_with,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    findings::Findings,
    trial::{self, ENDINGS, Ending, Guest, Trial},
};
use crate::{
    server::{Launch, Server},
    siege::{Report, Scale, crowd},
};

/// The scarce resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scarce {
    Nothing,
    /// There is memory for fewer instances than there are clients.
    Memory,
    /// There are fewer descriptors than clients.
    Descriptors,
}

/// How many clients compete for a scarce resource.
const CLIENTS: usize = 16;

/// If there is no report for this long, something is wrong.
const TIMEOUT: Duration = Duration::from_secs(120);

pub(super) fn lay(scale: Scale, findings: &mut Findings, report: &mut Report) {
    let before = findings.total();
    let server = launch(Scarce::Nothing);
    let mut trials = Vec::new();
    for ending in ENDINGS {
        let reuses = scale.of(1000, 8);
        let (done, before) =
            (crowd::each(reuses, 8, |number| try_until(server.addr(), number, ending)), findings.total());
        for trial in &done {
            note(findings, trial);
        }
        trials.extend(done.into_iter().flatten());
        report.row(vec![
            format!("marks everywhere: {}", ending.name),
            reuses.to_string(),
            (findings.total() - before).to_string(),
        ]);
    }
    end(server, findings, &trials);
    report.row(vec![
        "marks everywhere: the log of all of these".into(),
        trials.len().to_string(),
        (findings.total() - before).to_string(),
    ]);
    for (scarce, name) in [(Scarce::Memory, "memory"), (Scarce::Descriptors, "descriptors")] {
        let before = findings.total();
        let server = launch(scarce);
        let reuses = scale.of(2000, 24);
        let each = |number: usize| try_until(server.addr(), number, ENDINGS[number / 2 % ENDINGS.len()]);
        let done = crowd::each(reuses, CLIENTS, each);
        for trial in &done {
            note(findings, trial);
        }
        let trials: Vec<Trial> = done.into_iter().flatten().collect();
        end(server, findings, &trials);
        report.row(vec![
            format!("marks everywhere: little {name}, all ways in turn"),
            reuses.to_string(),
            (findings.total() - before).to_string(),
        ]);
    }
}

fn launch(scarce: Scarce) -> Server {
    // CPU time, not wall time: a busy machine must not change how far instances get before they end.
    let launch = Launch::mounted(&[Guest::Spy.name(), Guest::Filler.name()]).flags(["--cpu-time", "1s"]);
    match scarce {
        Scarce::Nothing => launch.start(),
        Scarce::Memory => launch.flags(["--max-total-memory", "40MiB"]).start(),
        Scarce::Descriptors => {
            let server = launch.start();
            // The first instance of each guest needs some for what is created once and kept.
            for guest in [Guest::Spy, Guest::Filler] {
                _ = trial::attempt(server.addr(), guest, ENDINGS[0]);
            }
            server.limit_descriptors(server.descriptors() + CLIENTS / 2);
            server
        }
    }
}

/// Tries again until the server has room. Returns `None` if that takes too long.
fn try_until(addr: SocketAddr, number: usize, ending: Ending) -> Option<Trial> {
    let begun = Instant::now();
    let mut tries = repeat_with(|| trial::attempt(addr, Guest::of(number), ending));
    tries.find_map(|tried: io::Result<Trial>| match tried {
        Ok(trial) => Some(Some(trial)),
        Err(_) if begun.elapsed() > TIMEOUT => Some(None),
        Err(_) => None,
    })?
}

fn note(findings: &mut Findings, trial: &Option<Trial>) {
    match trial {
        Some(trial) => findings.judge(trial),
        None => findings.add("requests without a report", 1),
    }
}

/// Stops a server once its last handler has ended, so that its log is complete.
fn end(server: Server, findings: &mut Findings, trials: &[Trial]) {
    server.ask_by(Signal::USR1, |log| log.iter().any(|line| line == "no handler is running"));
    server.signal(Signal::TERM);
    let (code, log) = server.wait();
    findings.add("exits of the server", u64::from(code != Some(0)));
    findings.judge_log(&log, trials);
}
