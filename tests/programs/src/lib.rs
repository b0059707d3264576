//! Scripts for handlers: what a handler does, step by step, and what it reports about each step.
//!
//! A test sends the script with its request. The guest `follows_a_script` follows it, and so does a native handler in
//! the tests: the same behaviour with and without a sandbox.

pub mod mark;
pub mod report;

use std::fmt::{self, Write as _};

/// The field of a request in which its script is sent.
pub const FIELD: &str = "X-Script";

/// A call of the gateway, or a way to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `start-response`.
    Start {
        /// The status line.
        status: String,
        /// The fields.
        fields: Vec<(String, Vec<u8>)>,
        /// The text of an exception.
        exc_info: Option<String>,
    },
    /// `write`.
    Write(Vec<u8>),
    /// `finish`.
    Finish(Vec<u8>),
    /// `respond`.
    Respond {
        /// The status line.
        status: String,
        /// The fields.
        fields: Vec<(String, Vec<u8>)>,
        /// The body.
        body: Vec<u8>,
    },
    /// `read` once.
    Read(u32),
    /// `read` until the end or an error.
    ReadAll,
    /// `trailers`.
    Trailers,
    /// `get` a variable.
    Get(String),
    /// Returns an error.
    Fail(String),
    /// Traps.
    Trap,
}

/// The report of a step that succeeds and returns nothing.
pub const OK: &str = "ok";

/// Formats the result of a step that may fail.
#[must_use]
pub fn outcome(result: Result<(), impl fmt::Debug>) -> String {
    result.map_or_else(error, |()| OK.into())
}

/// Formats an error as the name of its case in WIT, for the host's types as well as for the guest's.
#[must_use]
pub fn error(error: impl fmt::Debug) -> String {
    let text = format!("{error:?}");
    let name = text.split('(').next().unwrap_or_default();
    let mut reported = String::new();
    for letter in name.rsplit("::").next().unwrap_or_default().chars() {
        if letter.is_uppercase() && !reported.is_empty() {
            reported.push('-');
        }
        reported.extend(letter.to_lowercase());
    }
    reported
}

/// Formats bytes as escaped ASCII.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Formats a whole body as its length and a checksum (FNV-1a).
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{} octets, {hash:016x}", bytes.len())
}

/// Formats a script so that it fits into a field.
#[must_use]
pub fn to_field(steps: &[Step]) -> String {
    steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Parses the script in a field.
///
/// # Errors
///
/// The first word that is not a step.
pub fn from_field(field: &str) -> Result<Vec<Step>, String> {
    field.split(' ').filter(|word| !word.is_empty()).map(|word| step(word).ok_or_else(|| word.to_owned())).collect()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = |f: &mut fmt::Formatter<'_>, status: &str, fields: &[(String, Vec<u8>)]| {
            argument(f, status.as_bytes())?;
            fields.iter().try_for_each(|(name, value)| {
                argument(f, name.as_bytes())?;
                argument(f, value)
            })
        };
        match self {
            Self::Start { status, fields, exc_info: None } => {
                f.write_str("start")?;
                head(f, status, fields)
            }
            Self::Start { status, fields, exc_info: Some(text) } => {
                f.write_str("restart")?;
                argument(f, text.as_bytes())?;
                head(f, status, fields)
            }
            Self::Write(chunk) => with(f, "write", chunk),
            Self::Finish(last) => with(f, "finish", last),
            Self::Respond { status, fields, body } => {
                with(f, "respond", body)?;
                head(f, status, fields)
            }
            Self::Read(max) => with(f, "read", max.to_string().as_bytes()),
            Self::ReadAll => f.write_str("read-all"),
            Self::Trailers => f.write_str("trailers"),
            Self::Get(name) => with(f, "get", name.as_bytes()),
            Self::Fail(text) => with(f, "fail", text.as_bytes()),
            Self::Trap => f.write_str("trap"),
        }
    }
}

fn with(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    f.write_str(name)?;
    argument(f, bytes)
}

/// Letters and digits stay as they are. Runs of the same byte are counted, so that a long body makes a short script.
fn argument(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_char(',')?;
    for run in bytes.chunk_by(|one, other| one == other) {
        match (run[0], run.len()) {
            (byte, 1..=3) if byte.is_ascii_alphanumeric() => {
                run.iter().try_for_each(|byte| f.write_char(*byte as char))?;
            }
            (byte, 1) => write!(f, "%{byte:02x}")?,
            (byte, length) => write!(f, "%{byte:02x}*{length}.")?,
        }
    }
    Ok(())
}

fn step(word: &str) -> Option<Step> {
    let mut words = word.split(',');
    let name = words.next()?;
    let mut arguments = words.map(parse_argument).collect::<Option<Vec<_>>>()?.into_iter();
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes?).ok();
    let step = match name {
        "start" => Step::Start { status: text(arguments.next())?, fields: fields(&mut arguments)?, exc_info: None },
        "restart" => {
            let exc_info = text(arguments.next());
            Step::Start { status: text(arguments.next())?, fields: fields(&mut arguments)?, exc_info }
        }
        "write" => Step::Write(arguments.next()?),
        "finish" => Step::Finish(arguments.next()?),
        "respond" => {
            let body = arguments.next()?;
            Step::Respond { status: text(arguments.next())?, fields: fields(&mut arguments)?, body }
        }
        "read" => Step::Read(text(arguments.next())?.parse().ok()?),
        "read-all" => Step::ReadAll,
        "trailers" => Step::Trailers,
        "get" => Step::Get(text(arguments.next())?),
        "fail" => Step::Fail(text(arguments.next())?),
        "trap" => Step::Trap,
        _ => return None,
    };
    arguments.next().is_none().then_some(step)
}

fn fields(arguments: &mut impl Iterator<Item = Vec<u8>>) -> Option<Vec<(String, Vec<u8>)>> {
    let mut fields = Vec::new();
    while let Some(name) = arguments.next() {
        fields.push((String::from_utf8(name).ok()?, arguments.next()?));
    }
    Some(fields)
}

fn parse_argument(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some(coded) = rest.strip_prefix('%') else {
            bytes.push(rest.as_bytes()[0]);
            rest = rest.get(1..)?;
            continue;
        };
        let byte = u8::from_str_radix(coded.get(..2)?, 16).ok()?;
        rest = &coded[2..];
        let length = match rest.strip_prefix('*') {
            Some(counted) => {
                let (length, after) = counted.split_once('.')?;
                rest = after;
                length.parse().ok()?
            }
            None => 1,
        };
        bytes.resize(bytes.len() + length, byte);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_reported_as_in_wit() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "only its Debug output is used")]
        enum StartError {
            HopByHop(&'static str),
        }
        assert_eq!(outcome(Err(StartError::HopByHop("TE::(Te)"))), "hop-by-hop");
        assert_eq!(outcome(Ok::<_, StartError>(())), OK);
    }

    #[test]
    fn a_script_survives_the_round_trip_through_its_field() {
        let fields = vec![("X A,".to_owned(), b"\0\r\n \xff%*.".to_vec()), (String::new(), Vec::new())];
        let steps = [
            Step::Start { status: "200 \u{e9}".into(), fields: fields.clone(), exc_info: None },
            Step::Start { status: String::new(), fields: Vec::new(), exc_info: Some("boom, boom".into()) },
            Step::Write(vec![b'a'; 70_000]),
            Step::Finish(b"%61*3.".to_vec()),
            Step::Respond { status: "204".into(), fields, body: b"aaaa-aaa".to_vec() },
            Step::Read(u32::MAX),
            Step::ReadAll,
            Step::Trailers,
            Step::Get("wsgi.version".into()),
            Step::Fail(String::new()),
            Step::Trap,
        ];
        let field = to_field(&steps);
        assert!(field.len() < 400 && field.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{field}");
        assert_eq!(from_field(&field).as_deref(), Ok(&steps[..]));
        assert_eq!(from_field("write,a nonsense"), Err("nonsense".into()));
    }
}
