//! The changes between two texts, and which of them two runs of one handler have, too.
//!
//! Texts are compared by lines, and lines that differ by words. A clock or a random number differs in every run. What
//! else differs must not hide behind it, not even in the same line: so it is a word that differs by itself, never a line.

use std::{
    hash::Hash,
    ops::Range,
    time::{Duration, Instant},
};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

/// How long the comparison of two texts may search for the smallest difference.
const TIME_MAX: Duration = Duration::from_millis(200);

/// A text as lines and words.
pub(super) struct Text<'a> {
    /// With their line ends.
    pub lines: Vec<&'a str>,
    words: Vec<&'a str>,
    /// The index of each line's first word, and of the end.
    starts: Vec<usize>,
}

/// Lines of one text in place of lines of another one.
#[derive(Debug)]
pub(super) struct Block {
    pub old: Range<usize>,
    pub new: Range<usize>,
    /// The words that differ, as indices into both texts.
    words: Vec<Change>,
}

type Change = (Range<usize>, Range<usize>);

impl<'a> Text<'a> {
    #[must_use]
    pub(super) fn new(text: &'a str) -> Self {
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let (mut words, mut starts) = (Vec::new(), Vec::with_capacity(lines.len() + 1));
        for line in &lines {
            starts.push(words.len());
            split(line, &mut words);
        }
        starts.push(words.len());
        Self { lines, words, starts }
    }

    /// The lines that are others in `new`.
    #[must_use]
    pub(super) fn changes(&self, new: &Self) -> Vec<Block> {
        let deadline = Instant::now() + TIME_MAX;
        let block = |(old, new_lines): Change| {
            let (from, to) = (self.words_of(&old), new.words_of(&new_lines));
            let words = changes(&self.words[from.clone()], &new.words[to.clone()], deadline);
            let shift = |range: Range<usize>, by: &Range<usize>| range.start + by.start..range.end + by.start;
            let words = words.into_iter().map(|(old, new)| (shift(old, &from), shift(new, &to))).collect();
            Block { old, new: new_lines, words }
        };
        changes(&self.lines, &new.lines, deadline).into_iter().map(block).collect()
    }

    fn words_of(&self, lines: &Range<usize>) -> Range<usize> {
        self.starts[lines.start]..self.starts[lines.end]
    }

    fn shape(&self, words: &Range<usize>) -> String {
        let shape = |word: &&str| match word.chars().next() {
            Some(first) if first.is_alphanumeric() => 'w',
            Some(first) if first.is_whitespace() && first != '\n' => ' ',
            first => first.unwrap_or_default(),
        };
        self.words[words.clone()].iter().map(shape).collect()
    }
}

/// What differs between one run of a handler and further ones.
pub(super) struct Noise<'a> {
    of: &'a Text<'a>,
    /// Whether each word differs in another run.
    words: Vec<bool>,
    /// The words of this run, and what another one has in their place.
    changes: Vec<(Range<usize>, String)>,
}

impl<'a> Noise<'a> {
    /// Compares one run with further ones.
    #[must_use]
    pub(super) fn new(of: &'a Text<'a>, others: &[Text<'_>]) -> Self {
        let mut noise = Self { of, words: vec![false; of.words.len()], changes: Vec::new() };
        for other in others {
            for (this, that) in of.changes(other).into_iter().flat_map(|block| block.words) {
                noise.words[this.clone()].fill(true);
                noise.changes.push((this, other.shape(&that)));
            }
        }
        noise
    }

    /// Whether lines differ from those of `old` only where runs differ from each other.
    #[must_use]
    pub(super) fn explains(&self, old: &Text<'_>, block: &Block) -> bool {
        block.words.iter().all(|(before, after)| {
            let is_here = |(at, _): &&(Range<usize>, String)| {
                if after.is_empty() { *at == *after } else { at.start < after.end && after.start < at.end }
            };
            let mut runs = self.changes.iter().filter(is_here).peekable();
            if after.is_empty() {
                return runs.peek().is_some();
            }
            // A run must also have had the form of the original there, or the forms of runs must differ. If not, something
            // was removed or added beside what differs by itself.
            let before = old.shape(before);
            self.words[after.clone()].iter().all(|differs| *differs)
                && (before == self.of.shape(after)
                    || runs.any(|(at, shape)| *shape == before || *shape != self.of.shape(at)))
        })
    }
}

/// The ranges in which two sequences differ.
pub(super) fn changes<T: Eq + Hash>(old: &[T], new: &[T], deadline: Instant) -> Vec<Change> {
    let ops = capture_diff_slices_deadline(Algorithm::Myers, old, new, Some(deadline));
    let changed = ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
    changed.map(|op| (op.old_range(), op.new_range())).collect()
}

/// Splits a line into words: runs of letters and digits, runs of white space, and all other characters one by one.
fn split<'a>(line: &'a str, words: &mut Vec<&'a str>) {
    let class = |char: char| match char {
        _ if char.is_alphanumeric() => 1,
        '\n' => 0,
        _ if char.is_whitespace() => 2,
        _ => 0,
    };
    let (mut start, mut last) = (0, 0);
    for (at, char) in line.char_indices() {
        let this = class(char);
        if at > start && (this != last || this == 0) {
            words.push(&line[start..at]);
            start = at;
        }
        last = this;
    }
    if start < line.len() {
        words.push(&line[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether everything that differs between `old` and the first of `runs` differs by itself.
    fn is_explained(old: &str, runs: &[&str]) -> bool {
        let (old, new) = (Text::new(old), Text::new(runs[0]));
        let others: Vec<_> = runs[1..].iter().map(|run| Text::new(run)).collect();
        let noise = Noise::new(&new, &others);
        old.changes(&new).iter().all(|block| noise.explains(&old, block))
    }

    #[test]
    fn what_differs_in_each_run_is_found() {
        for (old, runs) in [
            ("it is 12:00:01\n", &["it is 13:05:17\n", "it is 14:06:18\n"][..]),
            (
                "{\n  \"id\": \"9f-aa\",\n  \"ok\": true\n}\n",
                &["{\n  \"id\": \"31-bc\",\n  \"ok\": true\n}\n", "{\n  \"id\": \"77-cd\",\n  \"ok\": true\n}\n"],
            ),
            ("id=ab+cd/ef", &["id=ghij", "id=k+l"]),
            ("a\nb\n", &["a\n", "a\nc\n"]),
            ("x: 7 of 10", &["x: 6 of 10", "x: 6 of 10", "x: 1 of 10"]),
        ] {
            assert!(is_explained(old, runs), "{old}");
        }
    }

    #[test]
    fn what_changed_does_not_hide_behind_what_differs_by_itself() {
        for (old, runs) in [
            ("hello at 12:00:01", &["goodbye at 12:00:02", "goodbye at 12:00:03"][..]),
            ("12:00:01 ok", &["12:00:02", "12:00:03"]),
            ("12:00:01", &["12:00:02 ok", "12:00:03 ok"]),
            ("ok 12:00:01", &["12:00:02", "12:00:03"]),
            ("/things/17", &["/thing/18", "/thing/19"]),
            ("a\n1\n", &["b\n2\n", "b\n3\n"]),
            ("a\n1\n", &["2\n", "3\n"]),
            ("1\na\n", &["2\n", "3\n"]),
            ("a", &["b", "b", "b"]),
            ("a 1\n", &["a 2", "a 3"]),
        ] {
            assert!(!is_explained(old, runs), "{old:?} {runs:?}");
        }
    }

    #[test]
    fn words_are_the_whole_line() {
        for line in ["", "a", " a  b,c;;d\r\n", "\u{e4}\u{1f600}x 1\n", "\n"] {
            let mut words = Vec::new();
            split(line, &mut words);
            assert_eq!(words.concat(), line);
            assert!(words.iter().all(|word| !word.is_empty()));
        }
    }
}
