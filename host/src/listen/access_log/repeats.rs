//! Limits repeated faults in the log: the first in full, then one line each, then only a count.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How much of a fault is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// One line and the stack.
    Full,
    /// One line.
    Line,
    /// Nothing; the fault is only counted.
    Nothing,
}

/// How many lines the same fault may log per window.
const LINES_MAX: u32 = 10;

/// How long the same faults are counted together.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// A fault that has not occurred for this long is logged with its stack again.
const FORGET_AFTER: Duration = Duration::from_secs(10);

/// How many different faults are remembered. Beyond this all are forgotten, so that they cannot fill the memory.
const KNOWN_MAX: usize = 100;

/// The faults that occurred recently.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    last: Instant,
    /// Occurrences in this window.
    count: u32,
}

impl Repeats {
    /// Records a fault, and returns how much of it to log.
    pub(super) fn show(&mut self, fault: &str, now: Instant) -> Show {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(fault) {
            self.known.clear();
        }
        let Some(known) = self.known.get_mut(fault) else {
            self.known.insert(fault.to_owned(), Known { since: now, last: now, count: 1 });
            return Show::Full;
        };
        known.last = now;
        known.count += 1;
        if known.count <= LINES_MAX { Show::Line } else { Show::Nothing }
    }

    /// Ends the windows that have passed. Returns the suppressed faults and their counts.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<(String, u32)> {
        let mut suppressed = Vec::new();
        for (fault, known) in &mut self.known {
            if now.duration_since(known.since) >= WINDOW {
                if known.count > LINES_MAX {
                    suppressed.push((fault.clone(), known.count - LINES_MAX));
                }
                (known.since, known.count) = (now, 0);
            }
        }
        self.known.retain(|_, known| now.duration_since(known.last) < FORGET_AFTER);
        suppressed
    }

    /// Whether there are suppressed faults to [`settle`](Self::settle).
    pub(super) fn has_suppressed(&self) -> bool {
        self.known.values().any(|known| known.count > LINES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f8_a_repeated_fault_is_logged_in_full_once_and_then_less_and_less() {
        let mut repeats = Repeats::default();
        let begin = Instant::now();
        assert_eq!(repeats.show("trap", begin), Show::Full);
        for _ in 0..9 {
            assert_eq!(repeats.show("trap", begin), Show::Line);
        }
        assert!(!repeats.has_suppressed());
        for _ in 0..5 {
            assert_eq!(repeats.show("trap", begin), Show::Nothing);
        }
        assert_eq!(repeats.show("other", begin), Show::Full);
        assert!(repeats.has_suppressed());
        assert_eq!(repeats.settle(begin + WINDOW / 2), []);
        assert_eq!(repeats.settle(begin + WINDOW), [("trap".to_owned(), 5)]);
        assert_eq!(repeats.show("trap", begin + WINDOW), Show::Line);
        assert_eq!(repeats.settle(begin + WINDOW + FORGET_AFTER), []);
        assert_eq!(repeats.show("trap", begin + WINDOW + FORGET_AFTER), Show::Full);
    }

    #[test]
    fn any_number_of_different_faults_uses_bounded_memory() {
        let mut repeats = Repeats::default();
        for number in 0..10_000 {
            repeats.show(&number.to_string(), Instant::now());
        }
        assert!(repeats.known.len() <= KNOWN_MAX);
    }
}
