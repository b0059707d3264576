//! Compares bodies: JSON and other text by lines, anything else by bytes.

use std::{borrow::Cow, fmt::Write as _};

use super::{
    answer::Answer,
    comparison::{DiffLine, Difference, What},
    json,
    text::text,
};

/// Compares the bodies, as far as both are known.
pub(super) fn body(old: &Answer, new: &Answer, others: &[Answer]) -> Option<Difference> {
    let (before, after) = (old.body.bytes(), new.body.bytes());
    let (is_first_partial, is_second_partial) = (old.is_partial(), new.is_partial());
    let known = match (is_first_partial, is_second_partial) {
        (true, true) => before.len().min(after.len()),
        (true, false) if before.len() <= after.len() => before.len(),
        (false, true) if after.len() <= before.len() => after.len(),
        _ => usize::MAX,
    };
    let part = |bytes: &[u8]| bytes[..bytes.len().min(known)].to_vec();
    let are_alike = before[..before.len().min(known)] == after[..after.len().min(known)];
    // A client that left does not know whether it would have been complete.
    let is_whole = |answer: &Answer| answer.message.is_whole || answer.is_partial() || answer.message.line.is_empty();
    if are_alike && is_whole(old) == is_whole(new) {
        return (is_first_partial || is_second_partial).then(|| Difference {
            what: What::Body,
            name: String::new(),
            before: format!("the first {} bytes", before.len()),
            after: "the same, as far as both are known".into(),
            lines: Vec::new(),
            counts: false,
            differs_by_itself: false,
        });
    }
    let mut difference = Difference {
        what: What::Body,
        name: String::new(),
        before: old.body.title(is_whole(old)),
        after: new.body.title(is_whole(new)),
        lines: Vec::new(),
        counts: true,
        differs_by_itself: false,
    };
    let texts = (old.body.text(), new.body.text());
    if let (Some(_), Some(_)) = texts
        && let (Ok(first), Ok(second)) = (String::from_utf8(part(before)), String::from_utf8(part(after)))
    {
        let mut first_and_second = [Cow::from(first), Cow::from(second)];
        let mut runs: Vec<Cow<'_, str>> =
            others.iter().map(|other| String::from_utf8_lossy(other.body.bytes())).collect();
        if let (Some(one), Some(two)) = (json::pretty(&first_and_second[0]), json::pretty(&first_and_second[1]))
            && one != two
        {
            first_and_second = [one.into(), two.into()];
            runs = runs.into_iter().map(|run| json::pretty(&run).map_or(run, Cow::from)).collect();
        }
        let [first, second] = first_and_second;
        if let Some(text) = text(What::Body, &first, &second, runs.iter().map(|run| &**run), true) {
            difference.lines = text.lines;
            difference.differs_by_itself = text.differs_by_itself;
        }
    } else {
        let at = before.iter().zip(after).take_while(|(one, two)| one == two).count();
        difference.lines = vec![hex('-', before, at), hex('+', after, at)];
        difference.differs_by_itself = is_binary_noise(before, after, others);
    }
    difference.differs_by_itself &=
        others.iter().any(|other| is_whole(other) != is_whole(new)) || is_whole(old) == is_whole(new);
    Some(difference)
}

/// Whether bytes differ only where runs differ. If runs have different lengths, all that follows the first difference
/// counts as different.
fn is_binary_noise(before: &[u8], after: &[u8], others: &[Answer]) -> bool {
    let mut differs = vec![false; after.len()];
    let mut is_as_long = true;
    for other in others.iter().map(|other| other.body.bytes()) {
        let from = after.iter().zip(other).position(|(one, two)| one != two).unwrap_or(after.len().min(other.len()));
        if other.len() == after.len() {
            differs.iter_mut().zip(after.iter().zip(other)).for_each(|(differs, (one, two))| *differs |= one != two);
        } else {
            is_as_long = false;
            differs[from..].fill(true);
        }
    }
    let is_explained = |(at, (one, two)): (usize, (&u8, &u8))| one == two || differs[at];
    (before.len() == after.len() || !is_as_long)
        && before.iter().zip(after).enumerate().all(is_explained)
        && others.iter().any(|other| other.body.bytes() != after)
}

/// Sixteen bytes from the line of `at` on.
fn hex(sign: char, bytes: &[u8], at: usize) -> DiffLine {
    let start = at - at % 16;
    let mut text = format!("{start:08x} ");
    let line = bytes.get(start..bytes.len().min(start + 16)).unwrap_or_default();
    line.iter().for_each(|byte| _ = write!(text, " {byte:02x}"));
    if line.is_empty() {
        text.push_str(" the end");
    }
    DiffLine { sign, text, differs_by_itself: false }
}
