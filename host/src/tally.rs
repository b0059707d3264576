//! The books: what has become of all requests.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::fault::Fault;

/// What has become of requests. When none is under way, `accepted` is the sum of `answered`, `aborted` and `shed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Their heads have arrived.
    pub accepted: u64,
    /// They were answered, be it with an error.
    pub answered: u64,
    /// Their clients did not get a whole answer.
    pub aborted: u64,
    /// They were refused because too many run.
    pub shed: u64,
    /// Their handlers run.
    pub running: u64,
}

/// Counts requests. None is forgotten, and none is counted twice.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    answered: AtomicU64,
    aborted: AtomicU64,
    shed: AtomicU64,
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counts {
    /// A request begins: its number, from 1 on.
    pub(crate) fn begin(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A fault was told of.
    pub(crate) fn fault(&self, kind: &'static str) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// A request is over, with this status and this kind of fault.
    pub(crate) fn end(&self, status: u16, fault: Option<&'static str>) {
        let count = if fault == Some(Fault::Busy.kind()) {
            &self.shed
        } else if status == Fault::Disconnected.status() {
            &self.aborted
        } else {
            &self.answered
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The sums, while so many handlers run.
    pub(crate) fn tally(&self, running: usize) -> Tally {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            accepted: load(&self.accepted),
            answered: load(&self.answered),
            aborted: load(&self.aborted),
            shed: load(&self.shed),
            running: running as u64,
        }
    }

    /// How often each kind of fault was told of.
    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_was_answered_aborted_or_shed() {
        let counts = Counts::default();
        for (status, fault) in
            [(200, None), (500, Some("trap")), (499, None), (503, Some("busy")), (503, Some("stopped"))]
        {
            assert!(counts.begin() > 0);
            fault.into_iter().for_each(|kind| counts.fault(kind));
            counts.end(status, fault);
        }
        assert_eq!(counts.tally(0), Tally { accepted: 5, answered: 3, aborted: 1, shed: 1, running: 0 });
        assert_eq!(counts.faults().len(), 3);
    }
}
