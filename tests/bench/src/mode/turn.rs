//! One measurement of one server.

use std::time::Duration;

use anyhow::Result;

use crate::{
    exercise::Exercise,
    load::{self, Load, Outcome},
    process::Process,
    spread::{Rounded, Spread},
};

/// The result of one measurement.
pub(super) struct Turn {
    pub(super) outcome: Outcome,
    /// MiB before the load, and at its end.
    pub(super) idle: f64,
    pub(super) loaded: f64,
}

/// Loads a server.
///
/// # Errors
///
/// The system cannot provide a runtime.
pub(super) fn take(server: &Process, exercises: &[Exercise], connections: usize, turn: Duration) -> Result<Turn> {
    let family = server.family();
    let idle = mib(family.resident());
    let load = Load { addr: server.addr(), exercises, connections, warmup: turn / 4, turn };
    let outcome = load::run(&load, &family)?;
    Ok(Turn { outcome, idle, loaded: mib(family.resident()) })
}

impl Turn {
    /// The server's CPU time per response in microseconds.
    pub(super) fn cost(&self) -> f64 {
        let (user, system) = self.outcome.cost();
        user + system
    }

    /// The columns of a table: these, and those that [`Turn::cells()`] fills.
    pub(super) fn columns<const N: usize>(first: [&'static str; N]) -> Vec<&'static str> {
        first
            .into_iter()
            .chain(["user", "system", "req/s", "p50 ms", "p99 ms", "RSS MiB idle → load", "failed"])
            .collect()
    }

    /// The cells of a table that follow the cost.
    pub(super) fn cells(turns: &[Self]) -> Vec<String> {
        let spread = |figure: fn(&Self) -> f64| Spread::of(turns.iter().map(figure));
        let median = |figure: fn(&Self) -> f64| Rounded(spread(figure).median).to_string();
        let failed: u64 = turns.iter().map(|turn| turn.outcome.failed).sum();
        vec![
            median(|turn| turn.outcome.cost().0),
            median(|turn| turn.outcome.cost().1),
            spread(|turn| turn.outcome.rate()).to_string(),
            median(|turn| turn.outcome.percentile(50).as_secs_f64() * 1e3),
            median(|turn| turn.outcome.percentile(99).as_secs_f64() * 1e3),
            format!("{} → {}", median(|turn| turn.idle), median(|turn| turn.loaded)),
            failed.to_string(),
        ]
    }
}

/// Converts KiB to MiB.
#[expect(clippy::cast_precision_loss, reason = "only three digits are shown")]
pub(super) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
