//! The foreign data that was found, by place.

use std::collections::{BTreeMap, BTreeSet};

use wasmserve_test_programs::mark::{self, Mark};

use super::trial::{Guest, Trial};
use crate::siege::Report;

/// The places to check: each is a bar of the siege, and is named in `docs/threat-model.md`.
const PLACES: [&str; 14] = [
    "foreign marks in linear memory",
    "bytes of fresh memory that are not zero",
    "words of a memory without an image that are not zero",
    "words of a memory's image that are not as declared",
    "table entries that are not as declared",
    "globals that are not as declared",
    "foreign marks in environ, input and variables",
    "handles of another instance",
    "random numbers that came twice",
    "foreign marks in answers",
    "log lines with another request's mark",
    "unfinished lines that were lost",
    "requests without a report",
    "exits of the server",
];

/// How much foreign data was found at each place.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<&'static str, u64>,
    handles: BTreeSet<u64>,
    random: BTreeSet<u64>,
}

impl Findings {
    /// Adds a count for a place.
    ///
    /// # Panics
    ///
    /// There is no such place.
    pub(super) fn add(&mut self, place: &'static str, count: u64) {
        assert!(PLACES.contains(&place), "`{place}` is not a place");
        *self.found.entry(place).or_default() += count;
    }

    /// Adds the report of a guest, and what was found in its response.
    pub(super) fn judge(&mut self, trial: &Trial) {
        self.add("foreign marks in answers", trial.foreign);
        if trial.ending.is_silent(trial.guest) {
            return;
        }
        match (trial.guest, &*trial.report) {
            (Guest::Spy, &[in_memory, dirty, given, handle, random, seed, _]) => {
                self.add("foreign marks in linear memory", in_memory);
                self.add("bytes of fresh memory that are not zero", dirty);
                self.add("foreign marks in environ, input and variables", given);
                // The first handle of a fresh table always has the same number.
                let is_new = self.handles.insert(handle) && self.handles.len() > 1;
                self.add("handles of another instance", u64::from(is_new));
                let repeated = [random, seed].into_iter().filter(|number| !self.random.insert(*number)).count();
                self.add("random numbers that came twice", repeated as u64);
            }
            (Guest::Filler, &[bare, image, table, globals]) => {
                self.add("words of a memory without an image that are not zero", bare);
                self.add("words of a memory's image that are not as declared", image);
                self.add("table entries that are not as declared", table);
                self.add("globals that are not as declared", globals);
            }
            _ => self.add("requests without a report", 1),
        }
    }

    /// Checks the log: no line contains the mark of another request, and output without a line end is logged as well.
    pub(super) fn judge_log(&mut self, log: &[String], trials: &[Trial]) {
        let ids = trials.iter().filter_map(|trial| match (trial.guest, &*trial.report) {
            (Guest::Spy, &[.., id]) => Some((id, trial.mark)),
            _ => None,
        });
        let mut owners: BTreeMap<u64, Mark> = ids.clone().collect();
        self.add("log lines with another request's mark", foreign_lines(log, &mut owners));
        let lines: BTreeSet<&str> = log.iter().map(String::as_str).collect();
        let is_lost = |(id, mark): &(u64, Mark)| {
            ["stdout", "stderr"].iter().any(|through| !lines.contains(&*format!("[{id}] {through}: {mark} unfinished")))
        };
        self.add("unfinished lines that were lost", ids.filter(is_lost).count() as u64);
    }

    /// The sum over all places.
    pub(super) fn total(&self) -> u64 {
        self.found.values().sum()
    }

    /// Reports each place as a bar.
    pub(super) fn report(&self, report: &mut Report) {
        for place in PLACES {
            report.count(place, 0, self.found.get(place).copied().unwrap_or_default());
        }
    }
}

/// Counts lines that contain marks of several requests, and lines of a request with the mark of another.
fn foreign_lines(log: &[String], owners: &mut BTreeMap<u64, Mark>) -> u64 {
    let mut foreign = 0;
    for line in log {
        let marks: BTreeSet<Mark> = mark::all(line.as_bytes()).collect();
        let is_anothers = match (marks.first(), id_of(line)) {
            (Some(mark), Some(id)) => owners.entry(id).or_insert(*mark) != mark,
            _ => false,
        };
        foreign += u64::from(marks.len() > 1 || is_anothers);
    }
    foreign
}

/// The id of the request that a line belongs to: `[7] stdout: ..`.
fn id_of(line: &str) -> Option<u64> {
    line.strip_prefix('[')?.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_one_owner() {
        let (one, other) = (Mark::new(1), Mark::new(2));
        let log = [
            format!("[1] stdout: {one} a line"),
            format!("[1] log: [2] stdout: {one} forged"),
            format!("[2] 500 exception: {other} (GET /?{other} HTTP/1.1)"),
            format!("127.0.0.1 - - [1/Jan/2026 00:00:00] \"GET /?{other} HTTP/1.1\" 200 -"),
        ];
        assert_eq!(foreign_lines(&log, &mut BTreeMap::new()), 0);
        let wrong = [format!("[1] stdout: {other}"), format!("[1] log: {one}{other}"), format!("x {one} {other}")];
        assert_eq!(foreign_lines(&wrong, &mut BTreeMap::from([(1, one)])), 3);
    }
}
