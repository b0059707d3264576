//! The parts of a response that are compared.

use wasmserve_gateway::escape::escape;

use super::comparison::NONE;
use crate::{
    capture::{message::Message, record::Record},
    event::exchange::CLIENT_LEFT,
};

/// The largest body that is compared as text, in bytes.
const TEXT_MAX: usize = 4 << 20;

/// The fields of which the host decides, or that follow from the body.
const OF_THE_HOST: [&str; 5] = ["date", "connection", "keep-alive", "transfer-encoding", "content-length"];

/// The parts of a response that are compared.
pub(super) struct Answer {
    pub message: Message,
    pub fields: Vec<(String, String)>,
    pub trailers: Vec<(String, String)>,
    pub body: Body,
    /// Whether bytes of the body are missing in the record, which the client got.
    is_cut: bool,
    /// Whether the client left, so that it did not get the rest.
    pub was_left: bool,
    pub fault: Option<(String, String)>,
    pub log: String,
}

pub(super) enum Body {
    Text(String),
    Binary(Vec<u8>),
}

impl Answer {
    pub(super) fn of(record: &Record, ignore: &[String]) -> Self {
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
            was_left: record.outcome.is_some_and(|outcome| outcome.status == CLIENT_LEFT),
            fault: record.fault.as_ref().map(|fault| (fault.kind.clone(), escape(fault.text.as_bytes()))),
            log: log.collect(),
            message,
            fields,
            trailers,
            body,
        }
    }

    /// The status and its reason phrase.
    pub(super) fn status(&self) -> String {
        let line = &self.message.line;
        match line.iter().position(|byte| *byte == b' ') {
            Some(space) => escape(&line[space + 1..]).trim_end().to_owned(),
            None => "no response".into(),
        }
    }

    /// Whether only the first part of its body can be compared.
    pub(super) fn is_partial(&self) -> bool {
        self.is_cut || self.was_left
    }

    pub(super) fn fault(&self) -> String {
        self.fault.as_ref().map_or_else(|| NONE.into(), |(kind, text)| format!("{kind}: {text}"))
    }
}

impl Body {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// What it is, in a few words.
    pub(super) fn title(&self, is_whole: bool) -> String {
        let length = self.bytes().len();
        let unit = if length == 1 { "byte" } else { "bytes" };
        match is_whole {
            _ if length == 0 && is_whole => "empty".into(),
            true => format!("{length} {unit}"),
            false => format!("incomplete after {length} {unit}"),
        }
    }
}
