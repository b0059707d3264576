//! What the list of the viewer shows of an exchange, and the filter that chooses which ones.

use std::str::FromStr;

use serde::Serialize;
use wasmserve_gateway::escape::escape;

use crate::{
    base::size,
    capture::{
        message::Message,
        record::{Build, Origin, Protocol, Record},
    },
};

/// One line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary<'a> {
    seq: u64,
    id: u64,
    began: u64,
    origin: &'a Origin,
    protocol: Protocol,
    remote: String,
    method: String,
    target: String,
    host: String,
    status: u16,
    fault: Option<&'a str>,
    took: u64,
    cpu: Option<u64>,
    memory: Option<u64>,
    received: u64,
    sent: u64,
    is_cut: bool,
    kept: Option<&'a str>,
    handler: Option<&'a Build>,
    connection: u64,
    nth: u32,
}

impl<'a> From<&'a Record> for Summary<'a> {
    fn from(record: &'a Record) -> Self {
        let head = record.request_head();
        let outcome = record.outcome;
        Self {
            seq: record.seq,
            id: record.id,
            began: record.began,
            origin: &record.origin,
            protocol: record.protocol,
            remote: record.remote.to_string(),
            method: escape(head.method()),
            target: escape(head.target()),
            host: head.values("host").next().map(escape).unwrap_or_default(),
            status: status(record),
            fault: record.fault.as_ref().map(|fault| &*fault.kind),
            took: took(record),
            cpu: outcome.and_then(|outcome| outcome.cpu),
            memory: outcome.and_then(|outcome| outcome.memory),
            received: record.request.total,
            sent: record.response.total,
            is_cut: is_cut(record),
            kept: record.kept.as_deref(),
            handler: record.handler.as_ref(),
            connection: record.connection,
            nth: record.nth,
        }
    }
}

fn status(record: &Record) -> u16 {
    record.outcome.map_or(0, |outcome| outcome.status)
}

/// How long the exchange took, in microseconds.
fn took(record: &Record) -> u64 {
    record.marks.ended.or(record.marks.completed).unwrap_or(0)
}

fn is_cut(record: &Record) -> bool {
    record.request.is_cut() || record.response.is_cut()
}

/// A filter for exchanges, as the user writes it: words that all have to apply, such as `POST status:5xx -path:/health`.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<Word>);

#[derive(Debug)]
struct Word {
    /// Whether it must not apply.
    is_negated: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// Part of the method, the target or the status, in any case.
    Any(String),
    Method(String),
    Path(String),
    Host(String),
    Remote(String),
    /// From the first to the last status.
    Status(u16, u16),
    /// A kind of fault; any if empty.
    Fault(String),
    Is(Is),
    Number(Measure, Order, u64),
    /// Bytes of the content of either body.
    Body(Vec<u8>),
    /// Part of a field `name: value` of either side, in any case.
    Field(String),
    /// Part of a line of the log, in any case.
    Log(String),
    Handler(String),
}

#[derive(Clone, Copy, Debug)]
enum Is {
    Kept,
    Replay,
    Edited,
    Cut,
    Fault,
}

#[derive(Clone, Copy, Debug)]
enum Measure {
    Id,
    Took,
    Cpu,
    Memory,
    Received,
    Sent,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Less,
    Same,
    More,
}

/// The words that can precede a colon, for messages.
const KEYS: &str = "method, status, path, host, remote, fault, is, took, cpu, memory, received, sent, body, field, log, \
                    handler and id";

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        words(text).map(Word::new).collect::<Result<_, _>>().map(Self)
    }
}

/// Splits a text at white space outside of quotes. Returns each word with the position where its first quotes were, which
/// are left out.
fn words(text: &str) -> impl Iterator<Item = (String, Option<usize>)> {
    let mut rest = text.trim_start().chars().peekable();
    std::iter::from_fn(move || {
        rest.peek()?;
        let (mut word, mut quoted, mut is_open) = (String::new(), None, false);
        while let Some(char) = rest.next() {
            match char {
                '"' => {
                    quoted.get_or_insert(word.len());
                    is_open = !is_open;
                }
                '\\' if is_open && rest.peek().is_some_and(|next| matches!(next, '"' | '\\')) => {
                    word.extend(rest.next())
                }
                char if char.is_whitespace() && !is_open => break,
                char => word.push(char),
            }
        }
        while rest.next_if(|char| char.is_whitespace()).is_some() {}
        Some((word, quoted))
    })
}

impl Word {
    fn new((word, quoted): (String, Option<usize>)) -> Result<Self, String> {
        let negated = word.strip_prefix(['-', '!']).filter(|rest| !rest.is_empty() && quoted != Some(0));
        let text = negated.unwrap_or(&word);
        let key = text.split_once(':').filter(|(key, value)| {
            let is_word = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase());
            let is_quoted = quoted.is_some_and(|at| at <= word.len() - text.len() + key.len());
            // An URL is looked for as it is.
            is_word && !is_quoted && !value.starts_with("//")
        });
        let test = match key {
            Some((key, value)) => Test::new(key, value)?,
            None => Test::Any(text.to_lowercase()),
        };
        Ok(Self { is_negated: negated.is_some(), test })
    }
}

impl Test {
    fn new(key: &str, value: &str) -> Result<Self, String> {
        Ok(match key {
            "method" => Self::Method(value.to_owned()),
            "path" => Self::Path(value.to_lowercase()),
            "host" => Self::Host(value.to_lowercase()),
            "remote" => Self::Remote(value.to_lowercase()),
            "status" => statuses(value)
                .ok_or_else(|| format!("`status:{value}`: write it as in status:404, status:5xx or status:>=400"))?,
            "fault" => Self::Fault(if value == "*" { String::new() } else { value.to_owned() }),
            "is" => Self::Is(match value {
                "kept" => Is::Kept,
                "replay" => Is::Replay,
                "edited" => Is::Edited,
                "cut" => Is::Cut,
                "fault" => Is::Fault,
                _ => return Err(format!("`is:{value}`: an exchange is kept, replay, edited, cut or fault")),
            }),
            "body" => Self::Body(value.as_bytes().to_vec()),
            "field" => Self::Field(value.to_lowercase()),
            "log" => Self::Log(value.to_lowercase()),
            "handler" => Self::Handler(value.to_lowercase()),
            "id" => number(Measure::Id, value, |number| number.parse().ok())
                .ok_or_else(|| format!("`id:{value}`: write it as in id:17 or id:>17"))?,
            "took" | "cpu" => {
                let measure = if key == "took" { Measure::Took } else { Measure::Cpu };
                number(measure, value, micros)
                    .ok_or_else(|| format!("`{key}:{value}`: write it as in {key}:>100ms or {key}:<2s"))?
            }
            "memory" | "received" | "sent" => {
                let measure = match key {
                    "memory" => Measure::Memory,
                    "received" => Measure::Received,
                    _ => Measure::Sent,
                };
                number(measure, value, |size| size::parse(size).ok())
                    .ok_or_else(|| format!("`{key}:{value}`: write it as in {key}:>10KiB"))?
            }
            _ => return Err(format!("`{key}:` is not known; known are {KEYS}; in quotes it is an ordinary word")),
        })
    }

    fn applies(&self, record: &Record, decoded: &mut Decoded<'_>) -> bool {
        let head = || record.request_head();
        let has = |text: &[u8], part: &str| escape(text).to_lowercase().contains(part);
        let origin = |wants_edited: bool| match record.origin {
            Origin::Client => false,
            Origin::Replay { edited, .. } => edited || !wants_edited,
        };
        match self {
            Self::Any(part) => {
                let head = head();
                has(head.method(), part) || has(head.target(), part) || status(record).to_string().contains(part)
            }
            Self::Method(method) => head().method().eq_ignore_ascii_case(method.as_bytes()),
            Self::Path(part) => has(head().parts().path, part),
            Self::Host(part) => head().values("host").next().is_some_and(|host| has(host, part)),
            Self::Remote(part) => record.remote.to_string().contains(part),
            Self::Status(first, last) => (*first..=*last).contains(&status(record)),
            Self::Fault(kind) => record.fault.as_ref().is_some_and(|fault| kind.is_empty() || fault.kind == *kind),
            Self::Is(is) => match is {
                Is::Kept => record.kept.is_some(),
                Is::Replay => origin(false),
                Is::Edited => origin(true),
                Is::Cut => is_cut(record),
                Is::Fault => record.fault.is_some(),
            },
            Self::Number(measure, order, number) => {
                let outcome = record.outcome;
                let value = match measure {
                    Measure::Id => Some(record.id),
                    Measure::Took => Some(took(record)),
                    Measure::Cpu => outcome.and_then(|outcome| outcome.cpu),
                    Measure::Memory => outcome.and_then(|outcome| outcome.memory),
                    Measure::Received => Some(record.request.total),
                    Measure::Sent => Some(record.response.total),
                };
                value.is_some_and(|value| match order {
                    Order::Less => value < *number,
                    Order::Same => value == *number,
                    Order::More => value > *number,
                })
            }
            Self::Body(part) => decoded.sides().iter().any(|side| memchr::memmem::find(&side.body, part).is_some()),
            Self::Field(part) => decoded.sides().iter().any(|side| {
                side.fields
                    .iter()
                    .chain(&side.trailers)
                    .any(|(name, value)| has(&[name, &b": "[..], value].concat(), part))
            }),
            Self::Log(part) => record.lines.iter().any(|line| line.text.to_lowercase().contains(part)),
            Self::Handler(part) => {
                record.handler.as_ref().is_some_and(|handler| handler.name.to_lowercase().contains(part))
            }
        }
    }
}

/// `404`, `4xx`, `>=400`, `<300`.
fn statuses(value: &str) -> Option<Test> {
    let of = |text: &str| text.parse::<u16>().ok().filter(|status| *status < 1000);
    Some(match value.as_bytes() {
        [digit @ b'0'..=b'9', b'x' | b'X', b'x' | b'X'] => {
            let first = u16::from(digit - b'0') * 100;
            Test::Status(first, first + 99)
        }
        [b'>', b'=', ..] => Test::Status(of(&value[2..])?, 999),
        [b'<', b'=', ..] => Test::Status(0, of(&value[2..])?),
        [b'>', ..] => Test::Status(of(&value[1..])? + 1, 999),
        [b'<', ..] => Test::Status(0, of(&value[1..])?.checked_sub(1)?),
        _ => Test::Status(of(value)?, of(value)?),
    })
}

fn number(measure: Measure, value: &str, parse: impl Fn(&str) -> Option<u64>) -> Option<Test> {
    let (order, rest) = match value.as_bytes().first()? {
        b'>' => (Order::More, &value[1..]),
        b'<' => (Order::Less, &value[1..]),
        _ => (Order::Same, value),
    };
    Some(Test::Number(measure, order, parse(rest)?))
}

/// A duration in microseconds, as in `100ms`.
fn micros(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|char: char| !char.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "us" | "µs" => 1,
        "ms" => 1000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The two messages of a record, which are read only if a filter needs them.
struct Decoded<'a> {
    record: &'a Record,
    sides: Option<[Message; 2]>,
}

impl Decoded<'_> {
    fn sides(&mut self) -> &[Message; 2] {
        let record = self.record;
        self.sides.get_or_insert_with(|| [Message::request(record), Message::response(record)])
    }
}

impl Filter {
    /// Whether an exchange is one of those that the user wants to see.
    pub(super) fn applies(&self, record: &Record) -> bool {
        let mut decoded = Decoded { record, sides: None };
        self.0.iter().all(|word| word.test.applies(record, &mut decoded) != word.is_negated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_white_space_outside_of_quotes() {
        let split = |text: &str| words(text).map(|(word, _)| word).collect::<Vec<_>>();
        assert_eq!(split("  POST \t status:5xx "), ["POST", "status:5xx"]);
        assert_eq!(split(r#"body:"a b" "c d"e ""#), ["body:a b", "c de", ""]);
        assert_eq!(split(r#""a\"b\\c\d" x\"y z""#), [r#"a"b\c\d"#, r"x\y z"]);
        assert!(split("").is_empty() && split(" \n").is_empty());
    }

    #[test]
    fn a_word_that_cannot_be_meant_is_an_error_and_a_quoted_one_never_is() {
        for wrong in [
            "status:",
            "status:2000",
            "status:x",
            "took:5",
            "took:>",
            "cpu:ms",
            "sent:>1x",
            "id:x",
            "is:",
            "foo:bar",
            "-foo:bar",
        ] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong}");
        }
        for right in [
            "",
            "-",
            "!",
            "Foo:bar",
            "http://a/b",
            "\"foo:bar\"",
            "-\"foo:bar\"",
            ":",
            "12:30",
            "status:<=499",
            "took:<1m",
            "took:500µs",
            "cpu:1us",
            "memory:>1MiB",
            "fault:*",
            "é",
        ] {
            assert!(right.parse::<Filter>().is_ok(), "{right}");
        }
    }
}
