//! Measures servers in turn, so that other load on the machine affects all of them alike.

use anyhow::{Result, ensure};
use wasmserve_tests::table::Table;

use super::turn::Turn;
use crate::{
    args::Plan,
    spread::{Rounded, Spread},
};

/// What takes turns with others, and its results: one for each round.
pub(super) struct Entry<S> {
    /// Its name in tables and messages.
    pub(super) name: String,
    /// What is measured.
    pub(super) subject: S,
    pub(super) turns: Vec<Turn>,
}

impl<S> Entry<S> {
    pub(super) fn new(name: impl Into<String>, subject: S) -> Self {
        Self { name: name.into(), subject, turns: Vec::new() }
    }

    /// The CPU time of a request in microseconds.
    pub(super) fn cost(&self) -> Spread {
        Spread::of(self.turns.iter().map(Turn::cost))
    }

    /// The ratio of this CPU time to another one of the same round. Without another one, it is NaN.
    pub(super) fn ratio(&self, to: Option<&Self>) -> Spread {
        let others = to.into_iter().flat_map(|other| &other.turns);
        Spread::of(self.turns.iter().zip(others).map(|(turn, other)| turn.cost() / other.cost()))
    }

    /// Adds the reason of the first failed request to a table, if one has failed.
    pub(super) fn note_failure(&self, table: &mut Table) {
        if let Some(failure) = self.turns.iter().find_map(|turn| turn.outcome.failure.as_ref()) {
            table.note(format!("{}: {failure}", self.name));
        }
    }
}

/// Measures all entries in each round. The order rotates, so that none always follows the same other one.
///
/// # Errors
///
/// A measurement fails.
pub(super) fn run<S>(plan: &Plan, entries: &mut [Entry<S>], measure: impl Fn(&S) -> Result<Turn>) -> Result<()> {
    let count = entries.len();
    for round in 0..plan.rounds() {
        for at in 0..count {
            let entry = &mut entries[(at + round) % count];
            let turn = measure(&entry.subject)?;
            super::progress(&format!(
                "round {} of {}: {}: {} µs, {} req/s",
                round + 1,
                plan.rounds(),
                entry.name,
                Rounded(turn.cost()),
                Rounded(turn.outcome.rate()),
            ));
            entry.turns.push(turn);
        }
    }
    Ok(())
}

/// Prints the tables of these entries.
///
/// # Errors
///
/// A request has failed.
pub(super) fn report<S>(entries: &[Entry<S>], tables: impl IntoIterator<Item = Table>) -> Result<()> {
    tables.into_iter().for_each(|table| super::print(&table));
    let failed: u64 = entries.iter().flat_map(|entry| &entry.turns).map(|turn| turn.outcome.failed).sum();
    ensure!(failed == 0, "{failed} requests failed; see above");
    Ok(())
}
