//! Compares texts by lines.

use wasmserve_gateway::escape::escape;

use super::{
    changes::{Block, Noise, Text},
    comparison::{DiffLine, Difference, NONE, What},
    value::LINE_MAX,
};

/// How many lines are shown before and after each difference.
const CONTEXT: usize = 3;

/// How many lines are shown of a text.
const LINES_MAX: usize = 400;

/// Compares two texts by lines.
pub(super) fn text<'a>(
    what: What,
    before: &str,
    after: &str,
    others: impl Iterator<Item = &'a str>,
    counts: bool,
) -> Option<Difference> {
    if before == after {
        return None;
    }
    let (old, new) = (Text::new(before), Text::new(after));
    let others: Vec<Text> = others.map(Text::new).collect();
    let noise = Noise::new(&new, &others);
    let blocks: Vec<(Block, bool)> = old
        .changes(&new)
        .into_iter()
        .map(|block| {
            let differs_by_itself = noise.explains(&old, &block);
            (block, differs_by_itself)
        })
        .collect();
    let title = |text: &Text| match text.lines.len() {
        0 => NONE.to_owned(),
        1 => "1 line".into(),
        lines => format!("{lines} lines"),
    };
    Some(Difference {
        what,
        name: String::new(),
        before: title(&old),
        after: title(&new),
        differs_by_itself: blocks.iter().all(|(_, differs)| *differs),
        lines: lines(&old, &new, &blocks),
        counts,
    })
}

/// The lines around the differences.
fn lines(old: &Text<'_>, new: &Text<'_>, blocks: &[(Block, bool)]) -> Vec<DiffLine> {
    let mut lines = Vec::new();
    let mut next = 0;
    for (number, (block, differs_by_itself)) in blocks.iter().enumerate() {
        let line = |sign, text: &str| DiffLine {
            sign,
            text: shown(text),
            differs_by_itself: sign != ' ' && *differs_by_itself,
        };
        let from = block.new.start.saturating_sub(CONTEXT).max(next);
        if from > next {
            lines.push(gap(from - next));
        }
        lines.extend(new.lines[from..block.new.start].iter().map(|text| line(' ', text)));
        lines.extend(old.lines[block.old.clone()].iter().map(|text| line('-', text)));
        lines.extend(new.lines[block.new.clone()].iter().map(|text| line('+', text)));
        let end = blocks.get(number + 1).map_or(new.lines.len(), |(block, _)| block.new.start);
        next = end.min(block.new.end + CONTEXT);
        lines.extend(new.lines[block.new.end..next].iter().map(|text| line(' ', text)));
    }
    if next < new.lines.len() {
        lines.push(gap(new.lines.len() - next));
    }
    if lines.len() > LINES_MAX {
        let rest = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(DiffLine {
            sign: '@',
            text: format!("{rest} more lines of this comparison"),
            differs_by_itself: false,
        });
    }
    lines
}

fn gap(lines: usize) -> DiffLine {
    let unit = if lines == 1 { "line that is the same" } else { "lines that are the same" };
    DiffLine { sign: '@', text: format!("{lines} {unit}"), differs_by_itself: false }
}

/// A line as it is shown.
fn shown(line: &str) -> String {
    let (text, end) = match line.strip_suffix('\n') {
        Some(text) => (text, ""),
        None => (line, " (no line end)"),
    };
    let shown = match text.char_indices().nth(LINE_MAX) {
        Some((at, _)) => format!("{}… ({} more bytes)", escape(&text.as_bytes()[..at]), text.len() - at),
        None => escape(text.as_bytes()),
    };
    format!("{shown}{end}")
}
