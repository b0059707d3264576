//! Predicts the result of a script from the contract (wit/response.wit, rules S, B and X).
//!
//! It shares no code with the host.

use wasmserve_test_programs::{self as script, Step};

use super::stage::Record;

/// The request that the script runs for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) is_http_1_0: bool,
    /// The value of `Connection`, if any.
    pub(super) connection: Option<&'static str>,
    pub(super) body: Vec<u8>,
    /// Trailers as the handler reports them.
    pub(super) trailers: String,
    /// Whether the handler can trap. Without a sandbox, an exception stands for the trap.
    pub(super) has_traps: bool,
}

/// What the client must get (in the format of [`super::table::render`]), what must be recorded, and whether the
/// connection stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) answer: String,
    pub(super) record: Record,
    pub(super) goes_on: bool,
}

#[derive(Clone, Debug)]
struct Head {
    status: u16,
    reason: String,
    fields: Vec<(String, Vec<u8>)>,
    length: Option<u64>,
}

#[derive(Debug)]
enum Phase {
    Unstarted,
    Refused,
    Held(Head),
    Sent,
}

/// A response that is being sent.
struct Sent {
    head: Head,
    /// The length of the whole body, if it was known when the head was sent.
    whole: Option<u64>,
    chunks: Vec<Vec<u8>>,
    written: u64,
}

struct Model<'a> {
    asked: &'a Asked,
    phase: Phase,
    sent: Option<Sent>,
    /// Whether the handler has finished the body, and if so whether the body was complete.
    finished: Option<bool>,
    /// An exception was reported after the head had been sent.
    has_failed: bool,
    is_read: bool,
}

/// Predicts the result of a script.
pub(super) fn expect(asked: &Asked, steps: &[Step]) -> Expected {
    let mut model =
        Model { asked, phase: Phase::Unstarted, sent: None, finished: None, has_failed: false, is_read: false };
    let mut reported = Vec::new();
    let mut fault = None;
    for step in steps {
        match step {
            Step::Fail(_) => {
                fault = Some("exception");
                break;
            }
            Step::Trap => {
                fault = Some(if asked.has_traps { "trap" } else { "exception" });
                break;
            }
            step => reported.push(model.perform(step)),
        }
    }
    if fault.is_none() {
        fault = model.returns();
    }
    model.conclude(reported, fault)
}

impl Model<'_> {
    fn perform(&mut self, step: &Step) -> String {
        match step {
            Step::Start { status, fields, exc_info } => self.start(status, fields, exc_info.is_some()).into(),
            Step::Write(chunk) => self.write(chunk, false).into(),
            Step::Finish(last) => self.write(last, true).into(),
            Step::Respond { status, fields, body } => match self.start(status, fields, false) {
                script::OK => {
                    self.write(body, true);
                    script::OK.into()
                }
                error => error.into(),
            },
            Step::ReadAll if self.is_read => script::digest(b""),
            Step::ReadAll => {
                self.is_read = true;
                script::digest(&self.asked.body)
            }
            Step::Trailers if self.is_read => self.asked.trailers.clone(),
            Step::Trailers => String::new(),
            other => panic!("{other} is not part of the model"),
        }
    }

    fn start(&mut self, status: &str, fields: &[(String, Vec<u8>)], is_retry: bool) -> &'static str {
        match self.phase {
            Phase::Sent if is_retry => {
                self.has_failed = true;
                return "headers-sent";
            }
            Phase::Refused | Phase::Held(_) | Phase::Sent if !is_retry => return "already-started",
            _ => {}
        }
        match check(status, fields) {
            Ok(head) => {
                self.phase = Phase::Held(head);
                script::OK
            }
            Err(error) => {
                self.phase = Phase::Refused;
                error
            }
        }
    }

    fn write(&mut self, chunk: &[u8], is_last: bool) -> &'static str {
        match &self.phase {
            Phase::Unstarted | Phase::Refused => return "not-started",
            _ if self.finished.is_some() => return "disconnected",
            Phase::Held(head) if is_last || !chunk.is_empty() => {
                let whole = is_last.then_some(chunk.len() as u64);
                let sent = Sent { head: head.clone(), whole, chunks: Vec::new(), written: 0 };
                self.sent = Some(sent);
                self.phase = Phase::Sent;
            }
            _ => {}
        }
        let Some(sent) = &mut self.sent else { return script::OK };
        let room = sent.head.length.map_or(u64::MAX, |length| length - sent.written);
        let kept = &chunk[..chunk.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        sent.written += kept.len() as u64;
        if !kept.is_empty() {
            sent.chunks.push(kept.to_vec());
        }
        if is_last {
            self.finished = Some(!sent.is_short(self.asked) && !self.has_failed);
        }
        if kept.len() < chunk.len() { "past-content-length" } else { script::OK }
    }

    /// The handler returns without an error.
    fn returns(&mut self) -> Option<&'static str> {
        match &self.phase {
            Phase::Unstarted => return Some("no-start-response"),
            Phase::Refused => return Some("bad-response-head"),
            Phase::Held(head) => {
                let sent = Sent { head: head.clone(), whole: Some(0), chunks: Vec::new(), written: 0 };
                self.sent = Some(sent);
            }
            Phase::Sent => {}
        }
        let sent = self.sent.as_ref()?;
        let is_whole = *self.finished.get_or_insert(!sent.is_short(self.asked) && !self.has_failed);
        match is_whole {
            true => None,
            false if self.has_failed => Some("exception"),
            false => Some("short-body"),
        }
    }

    fn conclude(self, reported: Vec<String>, fault: Option<&'static str>) -> Expected {
        let asked = self.asked;
        let asks_to_go_on = match asked.connection {
            Some("close") => false,
            Some("keep-alive") => true,
            _ => !asked.is_http_1_0,
        };
        let record = |status| Record { status, fault: fault.map(str::to_owned), reported };
        let Some(sent) = self.sent else {
            let fault = fault.expect("without a response there is a fault");
            let answer = format!("500 {fault}");
            return Expected { answer, record: record(500), goes_on: asks_to_go_on };
        };

        let Sent { head, whole, chunks, .. } = &sent;
        let is_bodyless = sent.is_bodyless(asked);
        let length = match head.status {
            204 => None,
            205 => Some(0),
            304 => head.length,
            _ => head.length.or(*whole),
        };
        let is_length_known = length.is_some() || is_bodyless;
        let is_chunked = !is_length_known && !asked.is_http_1_0;
        // If the handler has declared a length, this many bytes are the whole body, whatever the handler does next.
        let has_all = head.length.is_some() && !sent.is_short(asked);
        let is_complete = is_bodyless || has_all || self.finished == Some(true);
        let body = match () {
            () if is_bodyless => "none".to_owned(),
            () if is_chunked => {
                format!("chunks {}", chunks.iter().map(|chunk| part(chunk)).collect::<Vec<_>>().join(", "))
            }
            () if length.is_some() => format!("length {}", part(&chunks.concat())),
            () => format!("until close {}", part(&chunks.concat())),
        };
        let mut fields: Vec<(String, String)> = head
            .fields
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
            .map(|(name, value)| {
                let value: String = value.iter().copied().map(char::from).collect();
                (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned())
            })
            .collect();
        if let Some(length) = length {
            fields.push(("content-length".into(), length.to_string()));
        }
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        let fields: String = fields.iter().map(|(name, value)| format!("|{name}: {value}")).collect();
        let cut = if is_complete { "" } else { " (cut)" };
        let answer = format!("{} {}{fields}|{body}{cut}", head.status, head.reason);
        // Without a length, a response of HTTP/1.0 ends with its connection.
        let goes_on = asks_to_go_on && is_complete && (is_length_known || is_chunked);
        Expected { answer, record: record(head.status), goes_on }
    }
}

impl Sent {
    fn is_bodyless(&self, asked: &Asked) -> bool {
        asked.is_head || matches!(self.head.status, 204 | 205 | 304)
    }

    fn is_short(&self, asked: &Asked) -> bool {
        !self.is_bodyless(asked) && self.head.length.is_some_and(|length| self.written < length)
    }
}

/// A part of a body, on one line.
pub(super) fn part(bytes: &[u8]) -> String {
    if bytes.len() <= 64 { format!("<{}>", script::escaped(bytes)) } else { format!("<{}>", script::digest(bytes)) }
}

fn check(status: &str, fields: &[(String, Vec<u8>)]) -> Result<Head, &'static str> {
    let code: String = status.chars().take(3).collect();
    let reason = match status.get(3..) {
        Some("") => "",
        Some(rest) if rest.starts_with(' ') => &rest[1..],
        _ => return Err("bad-status"),
    };
    let code = match code.parse::<u16>() {
        Ok(code) if (200..=999).contains(&code) && status.as_bytes()[0].is_ascii_digit() => code,
        _ => return Err("bad-status"),
    };
    if reason.chars().any(|char| char != '\t' && char.is_ascii_control()) {
        return Err("bad-status");
    }
    let mut length = None;
    for (name, value) in fields {
        if name.is_empty() || name.chars().any(|char| !char.is_ascii_graphic() || "\"(),/:;<=>?@[\\]{}".contains(char))
        {
            return Err("bad-header");
        }
        let name = name.to_ascii_lowercase();
        if [
            "connection",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ]
        .contains(&&*name)
        {
            return Err("hop-by-hop");
        }
        let start = value.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(value.len());
        let end = value.iter().rposition(|byte| !b" \t".contains(byte)).map_or(start, |last| last + 1);
        let value = &value[start..end];
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err("bad-header");
        }
        if name == "content-length" {
            let number = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            match number.and_then(|text| text.parse::<u64>().ok()) {
                Some(number) if length.is_none() => length = Some(number),
                _ => return Err("bad-header"),
            }
        }
    }
    // The reason is sent as UTF-8; a client that decodes it as Latin-1 sees these characters.
    let reason = reason.bytes().map(char::from).collect();
    Ok(Head { status: code, reason, fields: fields.to_vec(), length })
}
