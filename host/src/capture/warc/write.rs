//! Writes records as WARC.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use wasmserve_gateway::environ::SOFTWARE;

use super::layout::{FORMAT, HTTP2, METADATA, REQUEST, RESPONSE, STAND_IN, replaced_in_line};
use crate::{
    base::hex::hex,
    capture::{
        message::Message,
        record::{Cut, Ending, Protocol, Record, Side},
        time,
        url::Url,
    },
};

/// Methods that all readers of WARC know. Some take other requests for errors.
const METHODS: [&[u8]; 9] = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"TRACE", b"OPTIONS", b"CONNECT", b"PATCH"];

/// Writes the records of one run as WARC.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// What the ids of all records of the run have in common.
    run: [u8; 8],
}

/// The number of a WARC record among those of its exchange.
#[derive(Clone, Copy)]
enum Part {
    Info,
    Request,
    Response,
    Metadata,
}

/// The largest URL of a record, in bytes: readers bound the heads of records.
const URI_MAX: usize = 16 << 10;

/// The JSON of a `metadata` record.
#[derive(Serialize)]
struct Metadata<'a> {
    format: u32,
    #[serde(flatten)]
    record: &'a Record,
}

impl Writer {
    /// A writer for a run. The ids of records are unique if no other run has the same bytes.
    #[must_use]
    pub fn new(run: [u8; 8]) -> Self {
        Self { run }
    }

    /// The beginning of a file. `file` is its number, and `at` is when it is created, in microseconds since 1970 (UTC).
    #[must_use]
    pub fn begin(&self, file: u64, at: u64) -> Vec<u8> {
        let block = format!("software: {SOFTWARE}\r\nformat: WARC File Format 1.1\r\n");
        let mut out = Vec::with_capacity(512);
        let mut fields = Fields::new("warcinfo", self.id(Part::Info, file), at);
        fields.add("Content-Type", "application/warc-fields");
        fields.end(block.as_bytes(), &mut out);
        out
    }

    /// Appends an exchange. `seq` must differ for each exchange of the run.
    pub fn add(&self, seq: u64, record: &Record, out: &mut Vec<u8>) {
        out.reserve(record.request.bytes.len() + record.response.bytes.len() + (8 << 10));
        let ids = [Part::Request, Part::Response, Part::Metadata].map(|part| self.id(part, seq));
        let [request, response, metadata] = &ids;
        let head = Message::request(record);
        // Readers that do not know a method must not parse the block. They look for `http:`, but schemes have no case.
        let scheme = if METHODS.contains(&head.words()[0]) { "http" } else { "HTTP" };
        let mut uri = Url::of(record, &head).text(scheme);
        // The block has the whole target, however long it is. What is left of the URL is ASCII.
        uri.truncate(URI_MAX);
        let common = |kind, id: &String, at, linked: &String| {
            let mut fields = Fields::new(kind, id.clone(), at);
            fields.add("WARC-Target-URI", &uri);
            fields.add("WARC-Concurrent-To", linked);
            fields
        };
        let side = |mut fields: Fields, side: &Side, media: &str, block: &[u8], out: &mut Vec<u8>| {
            fields.add("WARC-IP-Address", &record.local.ip().to_canonical().to_string());
            if record.protocol == Protocol::Http2 {
                fields.add("WARC-Protocol", "h2c");
            }
            if let Some(why) = truncated(side) {
                fields.add("WARC-Truncated", why);
            }
            fields.add("Content-Type", media);
            fields.end(block, out);
        };
        let sent = record.request.bytes.as_ref();
        let stored = match record.protocol {
            Protocol::Http1 => sent.into(),
            Protocol::Http2 => replaced_in_line(sent, HTTP2, STAND_IN),
        };
        side(common("request", request, record.began, response), &record.request, REQUEST, &stored, out);
        if !record.response.bytes.is_empty() {
            let began = record.response.turns.first().map_or(0, |(at, _)| *at);
            let fields = common("response", response, record.began.saturating_add(began), request);
            side(fields, &record.response, RESPONSE, &record.response.bytes, out);
        }
        let json = serde_json::to_vec(&Metadata { format: FORMAT, record }).unwrap_or_default();
        let mut fields = common("metadata", metadata, record.began, request);
        fields.add("Content-Type", METADATA);
        fields.end(&json, out);
    }

    /// A UUID of version 8 (RFC 9562): the run, the part, and the number.
    fn id(&self, part: Part, number: u64) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.run);
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        bytes[6] = 0x80 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | part as u8;
        let text = hex(&bytes);
        format!("<urn:uuid:{}-{}-{}-{}-{}>", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
    }
}

/// The fields of a WARC record.
struct Fields(String);

impl Fields {
    fn new(kind: &str, id: String, at: u64) -> Self {
        let mut fields = Self("WARC/1.1\r\n".to_owned());
        fields.add("WARC-Type", kind);
        fields.add("WARC-Record-ID", &id);
        fields.add("WARC-Date", &time::rfc3339(at));
        fields
    }

    fn add(&mut self, name: &str, value: &str) {
        _ = write!(self.0, "{name}: {value}\r\n");
    }

    fn end(mut self, block: &[u8], out: &mut Vec<u8>) {
        self.add("WARC-Block-Digest", &format!("sha256:{}", hex(&Sha256::digest(block))));
        self.add("Content-Length", &block.len().to_string());
        out.extend_from_slice(self.0.as_bytes());
        for part in [b"\r\n", block, b"\r\n\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// Why a block has less than all bytes.
fn truncated(side: &Side) -> Option<&'static str> {
    match side.cut {
        Some(Cut::HeadMax | Cut::BodyMax) => Some("length"),
        Some(Cut::NoRoom | Cut::Lost) => Some("unspecified"),
        None if side.is_cut() => Some("unspecified"),
        None => matches!(side.end, Ending::Broken).then_some("disconnect"),
    }
}
