//! What a comparison of two responses has found, and how it is shown.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

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

/// What is shown where there is nothing.
pub(super) const NONE: &str = "none";

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
    pub(super) fn title(&self) -> String {
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
