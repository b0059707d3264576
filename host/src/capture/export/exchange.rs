//! An exchange that is exported, and what has been written of an export.

use std::collections::BTreeSet;

use wasmserve_gateway::field;

use crate::{
    base::size,
    capture::{
        message::Message,
        record::{Ending, Protocol, Record, Side},
        time,
        url::{self, Url},
    },
};

/// What has been written of an export.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub bytes: Vec<u8>,
    pub beside: Vec<(String, Vec<u8>)>,
    pub notes: Vec<String>,
    names: BTreeSet<String>,
}

impl Written {
    /// The name of an exchange: its id, and a number if that is taken, as ids are only unique in one run.
    pub(super) fn name(&mut self, id: u64) -> String {
        let mut names = (1_u64..).map(|n| if n == 1 { id.to_string() } else { format!("{id}-{n}") });
        let name = names.find(|name| !self.names.contains(name)).unwrap_or_default();
        self.names.insert(name.clone());
        name
    }

    /// Appends text.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

/// An exchange that is exported.
pub(super) struct Exchange<'a> {
    pub record: &'a Record,
    pub request: Message,
    pub response: Message,
    /// Its name in the export, of digits and dashes.
    pub name: String,
    pub url: Url,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(record: &'a Record, name: String) -> Self {
        let (request, response) = (Message::request(record), Message::response(record));
        let url = Url::of(record, &request);
        Self { record, request, response, name, url }
    }

    pub(super) fn method(&self) -> &[u8] {
        self.request.words()[0]
    }

    /// The path and the query, with escapes for what no URL may contain.
    pub(super) fn origin_target(&self) -> String {
        let path = url::escaped(&self.url.path);
        if path.starts_with('/') { path } else { format!("/{path}") }
    }

    /// Whether the request can be sent by a program that writes HTTP itself.
    pub(super) fn is_http(&self) -> bool {
        let [method, target, version] = self.request.words();
        let is_version = version.starts_with(b"HTTP/1.") || version == b"HTTP/2";
        field::is_token(method) && !target.is_empty() && !target.contains(&0) && is_version
    }

    pub(super) fn is_http2(&self) -> bool {
        self.record.protocol == Protocol::Http2
    }

    /// A title for comments: `[17] POST, 2026-11-29T07:16:01.123456Z`. Contains nothing that a client could use to leave
    /// the comment.
    pub(super) fn title(&self) -> String {
        let method = self.method();
        let is_plain = !method.is_empty() && method.len() <= 20 && method.iter().all(u8::is_ascii_alphabetic);
        let method = if is_plain { String::from_utf8_lossy(method) } else { "request".into() };
        format!("[{}] {method}, {}", self.record.id, time::rfc3339(self.record.began))
    }

    /// What is missing of the request and of the response, in words without quotes.
    pub(super) fn missing(&self) -> Vec<String> {
        let sides = [("request", &self.record.request), ("response", &self.record.response)];
        sides.into_iter().filter_map(|(name, side)| missing(name, side)).collect()
    }
}

fn missing(name: &str, side: &Side) -> Option<String> {
    let (kept, total) = (side.bytes.len() as u64, side.total);
    if kept < total {
        return Some(format!("the {name} is cut: {} of {} were kept", size::text(kept), size::text(total)));
    }
    let is_broken = matches!(side.end, Ending::Broken);
    is_broken.then(|| format!("the {name} is incomplete: the connection broke"))
}
