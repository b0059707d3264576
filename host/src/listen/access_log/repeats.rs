//! The same fault again and again: told in full once, then in a line, then counted only.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How much of a fault is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// With its stack.
    Full,
    /// In one line.
    Line,
    /// It is counted.
    Nothing,
}

/// How many of the same are told in one second.
const LINES: u32 = 10;

/// How long the same count together.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// After so long without it a fault is news again, with its stack.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// So many different ones are known; beyond it all are forgotten, so that nobody can fill the memory with them.
const KINDS: usize = 100;

/// The faults of late.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    last: Instant,
    /// In this window.
    count: u32,
}

impl Repeats {
    /// Takes note of a fault.
    pub(super) fn show(&mut self, fault: &str, now: Instant) -> Show {
        if self.known.len() >= KINDS && !self.known.contains_key(fault) {
            self.known.clear();
        }
        let Some(known) = self.known.get_mut(fault) else {
            self.known.insert(fault.to_owned(), Known { since: now, last: now, count: 1 });
            return Show::Full;
        };
        known.last = now;
        known.count += 1;
        if known.count <= LINES { Show::Line } else { Show::Nothing }
    }

    /// Ends the windows that are over: the faults that were not told, and how often.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<(String, u32)> {
        let mut untold = Vec::new();
        for (fault, known) in &mut self.known {
            if now.duration_since(known.since) >= WINDOW {
                if known.count > LINES {
                    untold.push((fault.clone(), known.count - LINES));
                }
                (known.since, known.count) = (now, 0);
            }
        }
        self.known.retain(|_, known| now.duration_since(known.last) < FORGOTTEN);
        untold
    }

    /// When to [`settle`](Self::settle), if something is untold.
    pub(super) fn is_owing(&self) -> bool {
        self.known.values().any(|known| known.count > LINES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h8_a_fault_is_told_in_full_once_and_then_less_and_less() {
        let mut repeats = Repeats::default();
        let begin = Instant::now();
        assert_eq!(repeats.show("trap", begin), Show::Full);
        for _ in 0..9 {
            assert_eq!(repeats.show("trap", begin), Show::Line);
        }
        assert!(!repeats.is_owing());
        for _ in 0..5 {
            assert_eq!(repeats.show("trap", begin), Show::Nothing);
        }
        assert_eq!(repeats.show("other", begin), Show::Full);
        assert!(repeats.is_owing());
        assert_eq!(repeats.settle(begin + WINDOW / 2), []);
        assert_eq!(repeats.settle(begin + WINDOW), [("trap".to_owned(), 5)]);
        assert_eq!(repeats.show("trap", begin + WINDOW), Show::Line);
        assert_eq!(repeats.settle(begin + WINDOW + FORGOTTEN), []);
        assert_eq!(repeats.show("trap", begin + WINDOW + FORGOTTEN), Show::Full);
    }

    #[test]
    fn there_is_no_end_of_faults_but_of_memory_for_them() {
        let mut repeats = Repeats::default();
        for number in 0..10_000 {
            repeats.show(&number.to_string(), Instant::now());
        }
        assert!(repeats.known.len() <= KINDS);
    }
}
