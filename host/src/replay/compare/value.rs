//! Compares values in one line.

use std::borrow::Cow;

use super::{
    answer::Answer,
    changes::{Noise, Text},
    comparison::{Difference, What},
};

/// How many characters are shown of a value, or of a line.
pub(super) const LINE_MAX: usize = 500;

/// Compares two values in one line, whose words may differ by themselves.
pub(super) fn value(
    what: What,
    name: &str,
    before: &str,
    after: &str,
    others: &[Answer],
    of: impl Fn(&Answer) -> Option<String>,
) -> Option<Difference> {
    if before == after {
        return None;
    }
    let runs: Vec<Option<String>> = others.iter().map(of).collect();
    // A value that other runs lack is there by itself.
    let differs_by_itself = runs.iter().any(Option::is_none)
        || is_noise(before, after, &runs.iter().flatten().map(|run| &**run).collect::<Vec<_>>());
    let shorten = |text: &str| shorten(text).into_owned();
    Some(Difference {
        what,
        name: name.to_owned(),
        before: shorten(before),
        after: shorten(after),
        lines: Vec::new(),
        counts: true,
        differs_by_itself,
    })
}

/// Whether all changes of a text are where runs differ.
pub(super) fn is_noise(old: &str, new: &str, others: &[&str]) -> bool {
    let (old, new) = (Text::new(old), Text::new(new));
    let others: Vec<Text> = others.iter().map(|other| Text::new(other)).collect();
    let noise = Noise::new(&new, &others);
    old.changes(&new).iter().all(|block| noise.explains(&old, block))
}

/// The beginning of a value that is escaped already.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LINE_MAX) {
        Some((at, _)) => format!("{}… ({} more bytes)", &text[..at], text.len() - at).into(),
        None => text.into(),
    }
}
