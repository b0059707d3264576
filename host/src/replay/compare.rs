//! Compares the response to a request with the one to its replay.
//!
//! What counts is what a client gets, and how the handler failed. Log lines, the text of a failure and framing are shown,
//! but do not count. `Date` is not compared, nor are fields that the host alone decides.

use std::{
    borrow::Cow,
    fmt::Write as _,
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use wasmserve_gateway::escape::escape;

use super::{
    changes::{Block, Noise, Text, changes},
    json,
};
use crate::capture::{message::Message, record::Record};

/// What differs between two responses.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comparison {
    /// Whether they are the same: no difference counts, or those that do differ between any two runs.
    pub is_same: bool,
    /// What differs, in the order of a response.
    pub differences: Vec<Difference>,
}

/// One difference between two responses.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Difference {
    /// What differs.
    pub what: What,
    /// The name of the field; empty for anything else.
    pub name: String,
    /// What it was, in one line. Text of a handler is escaped.
    pub before: String,
    /// What it is now.
    pub after: String,
    /// The lines of a text around the differences; empty if the two values above say it all.
    pub lines: Vec<DiffLine>,
    /// Whether the responses are not the same because of this.
    pub counts: bool,
    /// Whether two runs of the new handler differ in the same way, for example because it shows a time.
    pub differs_by_itself: bool,
}

/// What differs between two responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// The status, or its reason phrase.
    Status,
    /// A header field.
    Field,
    /// The body's framing. Does not count.
    Framing,
    /// The body.
    Body,
    /// The trailer fields.
    Trailers,
    /// How the handler failed. Only its kind counts.
    Fault,
    /// What the handler wrote to its log. Does not count.
    Log,
}

/// A line of two texts side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiffLine {
    /// `-` for a line of the original, `+` for one of the new response, a space for one of both, `@` where lines are
    /// left out.
    pub sign: char,
    /// The line, escaped.
    pub text: String,
    /// Whether it differs between any two runs.
    pub differs_by_itself: bool,
}

/// How many lines are shown before and after each difference.
const CONTEXT: usize = 3;

/// How many lines are shown of a text, and how many characters of each.
const LINES_MAX: usize = 400;
const LINE_MAX: usize = 500;

/// The largest body that is compared as text, in bytes.
const TEXT_MAX: usize = 4 << 20;

/// The fields of which the host decides, or that follow from the body.
const OF_THE_HOST: [&str; 5] = ["date", "connection", "keep-alive", "transfer-encoding", "content-length"];

/// Compares the response to a request with that of its replay, the first of `runs`. The others are further runs of the same
/// handler, with which it finds what differs by itself. `ignore` has the names of fields that are not compared, besides
/// `Date`.
///
/// # Panics
///
/// `runs` is empty.
#[must_use]
pub(crate) fn compare_runs(original: &Record, runs: &[&Record], ignore: &[String]) -> Comparison {
    let old = Answer::of(original, ignore);
    let runs: Vec<Answer> = runs.iter().map(|run| Answer::of(run, ignore)).collect();
    let (new, others) = runs.split_first().unwrap_or_else(|| unreachable!("there is a replay"));
    let mut differences = Vec::new();
    // Without a head, there is nothing that its client could have seen of one.
    if !(old.was_left && old.message.line.is_empty()) {
        let status = value(What::Status, "", &old.status(), &new.status(), others, |_| None);
        // As a whole: a status is not made of parts.
        let differs_by_itself = others.iter().any(|other| other.status() != new.status());
        differences.extend(status.map(|status| Difference { differs_by_itself, ..status }));
        fields(What::Field, &old.fields, &new.fields, others, |other| &other.fields, &mut differences);
        differences.extend(framing(&old, new));
        differences.extend(body(&old, new, others));
        if !old.is_partial() && !new.is_partial() {
            fields(What::Trailers, &old.trailers, &new.trailers, others, |other| &other.trailers, &mut differences);
        }
    }
    differences.extend(fault(&old, new, others));
    differences.extend(text(What::Log, &old.log, &new.log, others.iter().map(|other| &*other.log), false));
    Comparison { is_same: differences.iter().all(|each| !each.counts || each.differs_by_itself), differences }
}

impl Comparison {
    /// What makes the responses differ, in a few words: `200 -> 500 (trap)`, `body, field ETag`.
    #[must_use]
    pub(crate) fn summary(&self) -> String {
        let all = || self.differences.iter().filter(|each| each.counts && !each.differs_by_itself);
        let status = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
        if let Some(Difference { before, after, .. }) = all().find(|each| each.what == What::Status) {
            let fault = all().find(|each| each.what == What::Fault);
            let (from, to) = if status(before) == status(after) {
                (before.clone(), after.clone())
            } else {
                (status(before), status(after))
            };
            let kind = fault.map(|fault| fault.after.split(':').next().unwrap_or_default().to_owned());
            let kind = kind.filter(|kind| kind != NONE).map(|kind| format!(" ({kind})")).unwrap_or_default();
            return format!("{from} -> {to}{kind}");
        }
        let mut names: Vec<String> = Vec::new();
        for each in all() {
            let name = each.title();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let left_out = names.len().saturating_sub(4);
        names.truncate(4);
        if left_out > 0 {
            names.push(format!("{left_out} more"));
        }
        names.join(", ")
    }

    /// The differences as text for a terminal, each line indented by two spaces. Empty if there are none.
    #[must_use]
    pub(crate) fn to_text(&self, is_colorful: bool) -> String {
        let mut text = String::new();
        let (by_itself, others): (Vec<_>, Vec<_>) = self.differences.iter().partition(|each| each.differs_by_itself);
        for each in others {
            let Difference { before, after, lines, counts, .. } = each;
            let note = if *counts { "" } else { " (does not count)" };
            _ = writeln!(text, "  {}: {before} -> {after}{note}", each.title());
            for DiffLine { sign, text: line, .. } in lines {
                let style = match sign {
                    _ if !is_colorful => Style::new(),
                    '-' => AnsiColor::Red.on_default(),
                    '+' => AnsiColor::Green.on_default(),
                    _ => Style::new().dimmed(),
                };
                _ = writeln!(text, "  {style}{sign} {line}{style:#}");
            }
        }
        if !by_itself.is_empty() {
            let names: Vec<String> = by_itself.iter().map(|each| each.title()).collect();
            _ = writeln!(text, "  differs in each run: {}", names.join(", "));
        }
        text
    }
}

impl Difference {
    /// What differs, with the name of the field.
    fn title(&self) -> String {
        match self.what {
            What::Status => "status".into(),
            What::Field => format!("field {}", self.name),
            What::Framing => "framing".into(),
            What::Body => "body".into(),
            What::Trailers => format!("trailer {}", self.name),
            What::Fault => "fault".into(),
            What::Log => "log".into(),
        }
    }
}

/// What is shown where there is nothing.
const NONE: &str = "none";

/// The parts of a response that are compared.
struct Answer {
    message: Message,
    fields: Vec<(String, String)>,
    trailers: Vec<(String, String)>,
    body: Body,
    /// Whether bytes of the body are missing in the record, which the client got.
    is_cut: bool,
    /// Whether the client left, so that it did not get the rest.
    was_left: bool,
    fault: Option<(String, String)>,
    log: String,
}

enum Body {
    Text(String),
    Binary(Vec<u8>),
}

impl Answer {
    fn of(record: &Record, ignore: &[String]) -> Self {
        let mut message = Message::response(record);
        let has_body = record.request_head().method() != b"HEAD" && !matches!(message.status(), 204 | 304);
        let is_compared = |name: &[u8], value: &[u8]| {
            let is_named = |names: &str| name.eq_ignore_ascii_case(names.as_bytes());
            // The length of a body that is not sent says something of its own.
            let is_of_the_host = OF_THE_HOST.into_iter().any(is_named) && (has_body || !is_named("content-length"))
                || is_named("server") && value.starts_with(b"wasmserve/");
            !is_of_the_host && !ignore.iter().any(|ignored| is_named(ignored))
        };
        let own = |fields: &[(Vec<u8>, Vec<u8>)]| {
            let fields = fields.iter().filter(|(name, value)| is_compared(name, value));
            fields.map(|(name, value)| (escape(name), escape(value))).collect::<Vec<_>>()
        };
        let (fields, trailers) = (own(&message.fields), own(&message.trailers));
        let body = match String::from_utf8(std::mem::take(&mut message.body)) {
            Ok(text) if text.len() <= TEXT_MAX && !text.contains('\0') => Body::Text(text),
            Ok(text) => Body::Binary(text.into_bytes()),
            Err(error) => Body::Binary(error.into_bytes()),
        };
        let log = record
            .lines
            .iter()
            .flat_map(|line| line.text.lines().map(move |text| format!("{}: {text}\n", line.stream)));
        Self {
            is_cut: record.response.is_cut(),
            was_left: record.outcome.is_some_and(|outcome| outcome.status == crate::event::exchange::CLIENT_LEFT),
            fault: record.fault.as_ref().map(|fault| (fault.kind.clone(), escape(fault.text.as_bytes()))),
            log: log.collect(),
            message,
            fields,
            trailers,
            body,
        }
    }

    /// The status and its reason phrase.
    fn status(&self) -> String {
        let line = &self.message.line;
        match line.iter().position(|byte| *byte == b' ') {
            Some(space) => escape(&line[space + 1..]).trim_end().to_owned(),
            None => "no response".into(),
        }
    }

    /// Whether only the first part of its body can be compared.
    fn is_partial(&self) -> bool {
        self.is_cut || self.was_left
    }

    fn fault(&self) -> String {
        self.fault.as_ref().map_or_else(|| NONE.into(), |(kind, text)| format!("{kind}: {text}"))
    }
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// What it is, in a few words.
    fn title(&self, is_whole: bool) -> String {
        let length = self.bytes().len();
        let unit = if length == 1 { "byte" } else { "bytes" };
        match is_whole {
            _ if length == 0 && is_whole => "empty".into(),
            true => format!("{length} {unit}"),
            false => format!("incomplete after {length} {unit}"),
        }
    }
}

/// Compares two values in one line, whose words may differ by themselves.
fn value(
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
fn is_noise(old: &str, new: &str, others: &[&str]) -> bool {
    let (old, new) = (Text::new(old), Text::new(new));
    let others: Vec<Text> = others.iter().map(|other| Text::new(other)).collect();
    let noise = Noise::new(&new, &others);
    old.changes(&new).iter().all(|block| noise.explains(&old, block))
}

/// The indices of fields that belong together in two lists, in order, and of those that only one has.
fn pairs(old: &[(String, String)], new: &[(String, String)]) -> Vec<(Option<usize>, Option<usize>)> {
    let names =
        |fields: &[(String, String)]| fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect::<Vec<_>>();
    let (mut pairs, (mut at, mut to)) = (Vec::new(), (0, 0));
    let changes = changes(&names(old), &names(new), Instant::now() + Duration::from_millis(50));
    for (before, after) in changes.into_iter().chain([(old.len()..old.len(), new.len()..new.len())]) {
        pairs.extend((at..before.start).zip(to..after.start).map(|(at, to)| (Some(at), Some(to))));
        pairs.extend(before.clone().map(|at| (Some(at), None)));
        pairs.extend(after.clone().map(|to| (None, Some(to))));
        (at, to) = (before.end, after.end);
    }
    pairs
}

/// Compares fields by their names, in order.
fn fields(
    what: What,
    old: &[(String, String)],
    new: &[(String, String)],
    others: &[Answer],
    of: impl Fn(&Answer) -> &[(String, String)],
    differences: &mut Vec<Difference>,
) {
    let is_named = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
    let count =
        |fields: &[(String, String)], name: &str| fields.iter().filter(|(other, _)| is_named(name, other)).count();
    let pairs_of_others: Vec<_> = others.iter().map(|other| pairs(new, of(other))).collect();
    // The value that another run has in place of a field of the new response.
    let in_place_of = |at: usize, other: usize| {
        let to = pairs_of_others[other].iter().find(|(from, _)| *from == Some(at)).and_then(|(_, to)| *to)?;
        Some(of(&others[other])[to].1.clone())
    };
    let all = pairs(old, new);
    let removed = all.iter().filter(|(_, to)| to.is_none()).filter_map(|(at, _)| Some(&old[(*at)?]));
    let added = all.iter().filter(|(at, _)| at.is_none()).filter_map(|(_, to)| Some(&new[(*to)?]));
    let (removed, added): (Vec<_>, Vec<_>) = (removed.collect(), added.collect());
    let is_among = |field: &(String, String), list: &[&(String, String)]| {
        list.iter().any(|(name, value)| is_named(name, &field.0) && *value == field.1)
    };
    for pair in &all {
        let by_itself = |name: &str| others.iter().any(|other| count(of(other), name) != count(new, name));
        let (name, before, after, differs_by_itself) = match *pair {
            (Some(at), Some(to)) => {
                let ((name, before), (_, after)) = (&old[at], &new[to]);
                let runs: Vec<_> = (0..others.len()).map(|other| in_place_of(to, other)).collect();
                let known: Vec<&str> = runs.iter().flatten().map(|run| &**run).collect();
                let differs = runs.len() > known.len() || is_noise(before, after, &known);
                (name, before.clone(), after.clone(), differs)
            }
            (Some(at), None) => {
                let after = if is_among(&old[at], &added) { "the same, in another place" } else { NONE };
                let (name, before) = &old[at];
                (name, before.clone(), after.into(), by_itself(name))
            }
            (None, Some(to)) => {
                if is_among(&new[to], &removed) {
                    continue;
                }
                let (name, after) = &new[to];
                (name, NONE.into(), after.clone(), by_itself(name))
            }
            (None, None) => continue,
        };
        if before != after {
            let (before, after) = (shorten(&before).into_owned(), shorten(&after).into_owned());
            let (name, lines) = (name.clone(), Vec::new());
            differences.push(Difference { what, name, before, after, lines, counts: true, differs_by_itself });
        }
    }
}

/// Compares how the bodies are framed.
fn framing(old: &Answer, new: &Answer) -> Option<Difference> {
    let title = |answer: &Answer| match (answer.message.is_chunked, answer.message.value("content-length")) {
        (true, _) => "in chunks",
        (_, Some(_)) => "with a length",
        _ if answer.message.line.is_empty() => "no response",
        _ => "without a length",
    };
    let (before, after) = (title(old).to_owned(), title(new).to_owned());
    let is_known = old.message.status() == new.message.status();
    (is_known && before != after).then(|| Difference {
        what: What::Framing,
        name: String::new(),
        before,
        after,
        lines: Vec::new(),
        counts: false,
        differs_by_itself: false,
    })
}

/// Compares the bodies, as far as both are known.
fn body(old: &Answer, new: &Answer, others: &[Answer]) -> Option<Difference> {
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

/// Compares the failures. The text contains numbers and places that change with each build, so only the kind counts.
fn fault(old: &Answer, new: &Answer, others: &[Answer]) -> Option<Difference> {
    let kind = |answer: &Answer| answer.fault.as_ref().map(|(kind, _)| kind.clone());
    let mut difference = value(What::Fault, "", &old.fault(), &new.fault(), others, |other| Some(other.fault()))?;
    // That of a client that left is no failure of the handler's.
    difference.counts = kind(old) != kind(new) && !old.was_left;
    if difference.counts {
        difference.differs_by_itself = others.iter().any(|other| kind(other) != kind(new));
    }
    Some(difference)
}

/// Compares two texts by lines.
fn text<'a>(
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

/// The beginning of a value that is escaped already.
fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LINE_MAX) {
        Some((at, _)) => format!("{}… ({} more bytes)", &text[..at], text.len() - at).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::capture::record::{Failure, Line, Marks, Origin, Outcome, Protocol, Side};

    fn compare(original: &Record, new: &Record, ignore: &[String]) -> Comparison {
        compare_runs(original, &[new], ignore)
    }

    fn record(response: &str) -> Record {
        record_of("GET / HTTP/1.1\r\nHost: x\r\n\r\n", response.as_bytes())
    }

    fn record_of(request: &str, response: &[u8]) -> Record {
        let side = |bytes: &[u8]| {
            let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4) as u64;
            Side { bytes: Bytes::copy_from_slice(bytes), total: bytes.len() as u64, head, ..Side::default() }
        };
        let outcome = Outcome { is_answered: true, status: 200, sent: 0, cpu: None, memory: None };
        Record {
            seq: 1,
            id: 1,
            origin: Origin::Client,
            began: 0,
            connection: 1,
            nth: 1,
            protocol: Protocol::Http1,
            remote: ([127, 0, 0, 1], 1).into(),
            local: ([127, 0, 0, 1], 2).into(),
            facts: None,
            handler: None,
            request: side(request.as_bytes()),
            response: side(response),
            marks: Marks::default(),
            lines: Vec::new(),
            fault: None,
            script: None,
            left: None,
            outcome: Some(outcome),
            kept: None,
        }
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    /// What differs between an original and the first of `runs`: all of it, with `~` before what differs by itself and
    /// parentheses around what does not count.
    fn differences(original: &str, runs: &[&str]) -> String {
        let runs: Vec<Record> = runs.iter().map(|run| record(run)).collect();
        shown(&compare_runs(&record(original), &runs.iter().collect::<Vec<_>>(), &[]))
    }

    fn shown(comparison: &Comparison) -> String {
        let each = comparison.differences.iter().map(|each| {
            let sign = if each.differs_by_itself { "~" } else { "" };
            let text = format!("{sign}{}: {} -> {}", each.title(), each.before, each.after);
            if each.counts { text } else { format!("({text})") }
        });
        let is_same = comparison.differences.iter().all(|each| each.differs_by_itself || !each.counts);
        assert_eq!(comparison.is_same, is_same);
        each.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn responses_are_the_same_whatever_their_framing_and_date() {
        let chunked = "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n\
                       1\r\nc\r\n0\r\n\r\n";
        assert_eq!(differences(&ok("abc"), &[&ok("abc")]), "");
        let comparison = compare(&record(&ok("abc")), &record(chunked), &[]);
        assert_eq!(shown(&comparison), "(framing: with a length -> in chunks)");
        assert!(comparison.is_same);
    }

    #[test]
    fn each_part_that_differs_is_named() {
        let head = |status: &str, fields: &str, body: &str| {
            format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        let old = head("200 OK", "A: 1\r\nB: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n");
        for (new, expected) in [
            (
                head("500 Oops", "A: 1\r\nB: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"),
                "status: 200 OK -> 500 Oops",
            ),
            (head("200 OK", "A: 1\r\nB: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"), "field B: 2 -> 3"),
            (head("200 OK", "A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"), "field B: 2 -> none"),
            (head("200 OK", "A: 1\r\nB: 2\r\nC: \r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"), "field C: none -> "),
            (
                head("200 OK", "B: 2\r\nA: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"),
                "field B: 2 -> the same, in another place",
            ),
            (
                head("200 OK", "A: 1\r\nB: 2\r\nSet-Cookie: b\r\nSet-Cookie: a\r\n", "x\n"),
                "field Set-Cookie: a -> b; field Set-Cookie: b -> a",
            ),
            (head("200 OK", "A: 1\r\nB: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "y\n"), "body: 2 bytes -> 2 bytes"),
            (head("200 OK", "A: 1\r\nB: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", ""), "body: 2 bytes -> empty"),
        ] {
            assert_eq!(differences(&old, &[&new]), expected);
        }
        let ignore = ["b".to_owned()];
        let new = record(&head("200 OK", "A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", "x\n"));
        assert_eq!(shown(&compare(&record(&old), &new, &ignore)), "", "a field may be ignored, whatever its case");
    }

    #[test]
    fn what_differs_by_itself_does_not_count_and_hides_nothing() {
        let answer = |cookie: &str, body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nSet-Cookie: id={cookie}; Path=/\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let old = answer("aa", "at 12:00:01, hello\n");
        let runs = [answer("bb", "at 13:01:02, hello\n"), answer("cc", "at 14:02:03, hello\n")];
        let runs: Vec<&str> = runs.iter().map(|run| &**run).collect();
        assert_eq!(
            differences(&old, &runs),
            "~field Set-Cookie: id=aa; Path=/ -> id=bb; Path=/; ~body: 19 bytes -> 19 bytes"
        );
        let runs = [answer("bb; Secure", "at 13:01:02, goodbye\n"), answer("cc; Secure", "at 14:02:03, goodbye\n")];
        let runs: Vec<&str> = runs.iter().map(|run| &**run).collect();
        assert_eq!(
            differences(&old, &runs),
            "field Set-Cookie: id=aa; Path=/ -> id=bb; Secure; Path=/; body: 19 bytes -> 21 bytes"
        );
        // A field or a status that comes and goes.
        let (with, without) = (ok("").replace("Content", "X: 1\r\nContent"), ok(""));
        assert_eq!(differences(&with, &[&without, &with]), "~field X: 1 -> none");
        assert_eq!(differences(&without, &[&with, &without]), "~field X: none -> 1");
        let failed = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
        assert!(differences(&ok("a"), &[failed, &ok("a")]).starts_with("~status: 200 OK -> 500"));
        assert!(differences(&ok("a"), &[failed, failed]).starts_with("status: 200 OK -> 500"));
    }

    #[test]
    fn json_is_compared_by_lines_and_to_the_byte() {
        let old = ok(r#"{"a":1,"b":{"c":[1,2]},"n":12345678901234567890}"#);
        let new = ok(r#"{"a":1,"b":{"c":[1,3]},"n":12345678901234567890}"#);
        let comparison = compare(&record(&old), &record(&new), &[]);
        let lines = &comparison.differences[0].lines;
        let changed: Vec<_> =
            lines.iter().filter(|line| "+-".contains(line.sign)).map(|line| line.text.trim()).collect();
        assert_eq!(changed, ["2", "3"]);
        for other in [
            r#"{"a":1, "b":{"c":[1,2]},"n":12345678901234567890}"#,
            r#"{"b":{"c":[1,2]},"a":1,"n":12345678901234567890}"#,
            r#"{"a":1,"b":{"c":[1,2]},"n":12345678901234567891}"#,
            r#"{"a":1.0,"b":{"c":[1,2]},"n":12345678901234567890}"#,
        ] {
            assert!(!compare(&record(&old), &record(&ok(other)), &[]).is_same, "{other}");
        }
    }

    #[test]
    fn binary_bodies_are_compared_by_bytes() {
        let binary = |bytes: &[u8]| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            record_of("GET / HTTP/1.1\r\n\r\n", &[head.as_bytes(), bytes].concat())
        };
        let old = binary(b"\xff\0abc1");
        let is_same = |runs: &[&[u8]]| {
            let runs: Vec<Record> = runs.iter().map(|run| binary(run)).collect();
            compare_runs(&old, &runs.iter().collect::<Vec<_>>(), &[]).is_same
        };
        assert!(is_same(&[b"\xff\0abc1"]));
        assert!(!is_same(&[b"\xff\0abc2"]));
        assert!(is_same(&[b"\xff\0abc2", b"\xff\0abc3"]));
        assert!(!is_same(&[b"\xff\0axc2", b"\xff\0axc3"]));
        assert!(!is_same(&[b"\xff\0abc2d", b"\xff\0abc3d"]));
        let comparison = compare(&old, &binary(b"\xff\0abc2"), &[]);
        assert_eq!(comparison.differences[0].lines[0].text, "00000000  ff 00 61 62 63 31");
    }

    #[test]
    fn only_what_is_known_of_a_body_is_compared() {
        let mut old = record(&ok("abcdef"));
        old.response.total += 1000;
        assert_eq!(
            shown(&compare(&old, &record(&ok("abcdefghi")), &[])),
            "(body: the first 6 bytes -> the same, as far as both are known)"
        );
        assert!(!compare(&old, &record(&ok("abcxef")), &[]).is_same);
        assert!(!compare(&old, &record(&ok("abc")), &[]).is_same, "it was at least as long as what is kept");
        // Its client left after some of the body, or before the head.
        for part in ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc", ""] {
            let mut left = record(part);
            left.outcome = Some(Outcome { is_answered: false, status: 499, sent: 3, cpu: None, memory: None });
            left.fault =
                Some(Failure { kind: "left".into(), at: 0, text: "the client left".into(), stack: Vec::new() });
            assert!(compare(&left, &record(&ok("abcdef")), &[]).is_same, "{part}");
        }
    }

    #[test]
    fn a_response_that_is_cut_off_differs_from_a_complete_one() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc";
        assert_eq!(differences(&ok("abcdef"), &[cut]), "body: 6 bytes -> incomplete after 3 bytes");
        assert_eq!(differences(cut, &[&ok("abc")]), "body: incomplete after 3 bytes -> 3 bytes");
    }

    #[test]
    fn the_length_counts_where_no_body_is_sent() {
        let head = |length: usize| {
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            record_of("HEAD / HTTP/1.1\r\n\r\n", response.as_bytes())
        };
        assert_eq!(shown(&compare(&head(1), &head(2), &[])), "field Content-Length: 1 -> 2");
    }

    #[test]
    fn of_a_failure_only_its_kind_counts_and_of_the_log_nothing() {
        let failed = |kind: &str, text: &str, line: &str| Record {
            fault: Some(Failure { kind: kind.into(), at: 0, text: text.into(), stack: Vec::new() }),
            lines: vec![Line { at: 0, stream: "stderr".into(), text: line.into() }],
            ..record(&ok(""))
        };
        let old = failed("trap", "at line 1", "a");
        let comparison = compare(&old, &failed("trap", "at line 2", "b"), &[]);
        assert_eq!(shown(&comparison), "(fault: trap: at line 1 -> trap: at line 2); (log: 1 line -> 1 line)");
        assert_eq!(
            shown(&compare(&old, &failed("memory", "at line 1", "a"), &[])),
            "fault: trap: at line 1 -> memory: at line 1"
        );
    }

    #[test]
    fn the_summary_fits_into_a_line() {
        let failed = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
        let new = Record {
            fault: Some(Failure { kind: "trap".into(), at: 0, text: "x".into(), stack: Vec::new() }),
            ..record(failed)
        };
        assert_eq!(compare(&record(&ok("a")), &new, &[]).summary(), "200 -> 500 (trap)");
        assert_eq!(compare(&record(&ok("a")), &record(&ok("b")), &[]).summary(), "body");
    }

    #[test]
    fn text_of_a_handler_cannot_control_a_terminal() {
        let comparison = compare(&record(&ok("a\n")), &record(&ok("\x1b[2J\u{202e}\n")), &[]);
        let text = comparison.to_text(false);
        assert!(!text.contains(['\x1b', '\u{202e}']) && text.contains("\\x1b[2J"), "{text}");
    }
}
