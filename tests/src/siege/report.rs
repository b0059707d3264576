//! The report of a siege, as Markdown.

use std::{fmt, time::Duration};

use crate::table::{Table, line};

/// A table, and the bars that its results must meet.
#[derive(Debug)]
pub struct Report {
    table: Table,
    bars: Vec<Bar>,
    notes: Vec<String>,
}

impl Report {
    /// A table without rows.
    pub(super) fn new(title: &'static str, columns: &'static [&'static str]) -> Self {
        Self { table: Table::new(title, columns), bars: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.table.row(cells);
    }

    /// Adds a bar for a count: the same on any machine.
    pub(super) fn count(&mut self, what: &str, wanted: u64, got: u64) {
        let (wanted, is_met, got) = (wanted.to_string(), wanted == got, got.to_string());
        self.bars.push(Bar { what: what.to_owned(), wanted, got, is_met, is_count: true });
    }

    /// Adds a bar that depends on the machine and its other load.
    pub(super) fn measure(&mut self, what: &str, wanted: impl fmt::Display, got: impl fmt::Display, is_met: bool) {
        let (what, wanted, got) = (what.to_owned(), wanted.to_string(), got.to_string());
        self.bars.push(Bar { what, wanted, got, is_met, is_count: false });
    }

    /// Adds a bar for a maximum time.
    pub(super) fn time(&mut self, what: &str, most: Duration, got: Duration) {
        self.measure(what, format_args!("<= {}", in_ms(most)), in_ms(got), got <= most);
    }

    /// Adds a note below the table.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The bars for counts that are not met.
    #[must_use]
    pub fn wrong_counts(&self) -> Vec<&Bar> {
        self.bars.iter().filter(|bar| bar.is_count && !bar.is_met).collect()
    }
}

/// A bar: a value that results must meet.
#[derive(Debug)]
pub struct Bar {
    /// What is measured.
    pub what: String,
    wanted: String,
    got: String,
    is_met: bool,
    is_count: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table)?;
        line(f, &["bar", "wanted", "got", "met"])?;
        line(f, &["---"; 4])?;
        for Bar { what, wanted, got, is_met, .. } in &self.bars {
            line(f, &[&**what, wanted, got, if *is_met { "yes" } else { "**no**" }])?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n{note}\n"))
    }
}

/// A duration in milliseconds.
pub(super) fn in_ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// By how many MiB something has grown.
pub(super) fn growth(before: u64, after: u64) -> f64 {
    const MIB: f64 = 1_048_576.0;
    #[expect(clippy::cast_precision_loss, reason = "only one digit is shown")]
    {
        (after as f64 - before as f64) / MIB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_table_and_separates_wrong_counts_from_long_times() {
        let mut report = Report::new("Spin", &["a", "b"]);
        report.row(vec!["1".into(), "x|y".into()]);
        report.count("crashes", 0, 0);
        report.count("leaks", 0, 2);
        report.time("p99", Duration::from_millis(10), Duration::from_micros(12_400));
        let text = report.to_string();
        assert!(text.starts_with("## Spin\n\n| a | b |\n| --- | --- |\n| 1 | x\\|y |\n\n"), "{text}");
        assert!(text.contains("| crashes | 0 | 0 | yes |\n| leaks | 0 | 2 | **no** |\n"), "{text}");
        assert!(text.contains("| p99 | <= 10 ms | 12 ms | **no** |\n"), "{text}");
        assert_eq!(report.wrong_counts().len(), 1);
    }
}
