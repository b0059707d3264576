//! Counters of requests and faults.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::exchange::End;
use crate::base::lock::lock;

/// The number of requests by outcome. When no request is in progress, `accepted` is the sum of `answered`, `aborted`
/// and `shed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests whose heads have arrived.
    pub accepted: u64,
    /// Requests answered, including with an error.
    pub answered: u64,
    /// Requests whose clients did not get a complete response.
    pub aborted: u64,
    /// Requests refused because too many were in progress.
    pub shed: u64,
}

/// Counts every request exactly once, and faults by kind.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    answered: AtomicU64,
    aborted: AtomicU64,
    shed: AtomicU64,
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    pub(super) fn begin(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fault(&self, kind: &'static str) {
        *lock(&self.faults).entry(kind).or_default() += 1;
    }

    pub(super) fn end(&self, end: End) {
        let count = match end {
            End::Answered => &self.answered,
            End::Shed => &self.shed,
            End::Aborted => &self.aborted,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of requests so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            accepted: load(&self.accepted),
            answered: load(&self.answered),
            aborted: load(&self.aborted),
            shed: load(&self.shed),
        }
    }

    /// The number of faults of each kind.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.faults).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_is_the_sum_of_answered_aborted_and_shed() {
        let counters = Counters::default();
        for (end, fault) in [
            (End::Answered, None),
            (End::Answered, Some("trap")),
            (End::Aborted, None),
            (End::Shed, Some("busy")),
            (End::Answered, Some("stopped")),
        ] {
            counters.begin();
            fault.into_iter().for_each(|kind| counters.fault(kind));
            counters.end(end);
        }
        assert_eq!(counters.tally(), Tally { accepted: 5, answered: 3, aborted: 1, shed: 1 });
        assert_eq!(counters.faults().len(), 3);
    }
}
