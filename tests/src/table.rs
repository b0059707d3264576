//! Tables as Markdown.

use std::fmt;

/// A table, and the notes that are needed to read it.
#[derive(Debug)]
pub struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// It does not have a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// Adds a line below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n", self.title)?;
        line(f, &self.columns)?;
        line(f, &vec!["---"; self.columns.len()])?;
        self.rows.iter().try_for_each(|row| line(f, row))?;
        self.notes.iter().try_for_each(|note| write!(f, "\n{note}\n"))
    }
}

/// Writes one line of a table.
pub(crate) fn line(f: &mut fmt::Formatter<'_>, cells: &[impl AsRef<str>]) -> fmt::Result {
    for cell in cells {
        write!(f, "| {} ", cell.as_ref().replace('|', "\\|").replace('\n', " "))?;
    }
    writeln!(f, "|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cell_is_valid_markdown() {
        let mut table = Table::new("Requests", &["server", "failed"]);
        table.row(vec!["a|b".into(), "0".into()]);
        table.note("One line.");
        let text = "## Requests\n\n| server | failed |\n| --- | --- |\n| a\\|b | 0 |\n\nOne line.\n";
        assert_eq!(table.to_string(), text);
    }
}
