//! HTTP Archive 1.2. What is unknown is -1 and never 0, as the format demands.
//!
//! Fields are text in Latin-1, so every byte of a value can be told from the others. A request's body that is not UTF-8 has
//! `encoding: base64`, as the draft of version 1.3 and the responses of 1.2 have it. The members that begin with `_` are
//! ours: `_wire` has all bytes, `_trailers` the trailers, and `_wasmserve` everything else that was captured.

use std::io::{self, Read};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use serde::Serialize;
use serde_json::{Value, json};
use wasmserve_gateway::{environ::SOFTWARE, field};

use super::exchange::{Exchange, Written};
use crate::capture::{message::Message, record::Side, time};

/// Adds an entry.
pub(super) fn add(exchange: &Exchange<'_>, written: &mut Written) {
    if written.bytes.is_empty() {
        written.text(&begin());
    } else {
        written.text(",\n");
    }
    let notes = exchange.missing();
    written.text(&entry(exchange, &notes).to_string());
    written.notes.extend(notes.into_iter().map(|what| format!("[{}] {what}", exchange.record.id)));
}

/// Ends the file, which is written even without entries.
pub(super) fn end(written: &mut Written) {
    if written.bytes.is_empty() {
        written.text(&begin());
    }
    written.text("\n]}}\n");
}

fn begin() -> String {
    let (name, version) = SOFTWARE.split_once('/').unwrap_or((SOFTWARE, ""));
    let creator = json!({ "name": name, "version": version });
    format!("{{\"log\": {{\"version\": \"1.2\", \"creator\": {creator}, \"entries\": [\n")
}

#[derive(Serialize)]
struct Pair {
    name: String,
    value: String,
}

fn entry(exchange: &Exchange<'_>, notes: &[String]) -> Value {
    let record = exchange.record;
    let timings = Timings::of(exchange);
    let mut entry = json!({
        "startedDateTime": time::rfc3339(record.began),
        "time": timings.sum(),
        "request": request(exchange),
        "response": response(exchange),
        "cache": {},
        "timings": timings.json(),
        "serverIPAddress": record.local.ip().to_canonical().to_string(),
        "connection": record.connection.to_string(),
        "_wire": {
            "request": BASE64_STANDARD.encode(&record.request.bytes),
            "response": BASE64_STANDARD.encode(&record.response.bytes),
        },
        "_wasmserve": record,
    });
    if !notes.is_empty() {
        entry["comment"] = notes.join("; ").into();
    }
    entry
}

fn request(exchange: &Exchange<'_>) -> Value {
    let message = &exchange.request;
    let [method, _, version] = message.words();
    let query = exchange.url.path.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
    let query = query.split(|byte| *byte == b'#').next().unwrap_or_default();
    let parameters = query.split(|byte| *byte == b'&').filter(|parameter| !parameter.is_empty());
    let mut request = json!({
        "method": latin1(method),
        "url": exchange.url.text("http"),
        "httpVersion": latin1(version),
        "cookies": cookies(message, "cookie"),
        "headers": fields(&message.fields),
        "queryString": parameters.map(|parameter| pair(parameter, true)).collect::<Vec<_>>(),
        "headersSize": head_size(&exchange.record.request),
        "bodySize": body_size(&exchange.record.request, message),
    });
    if !message.body.is_empty() {
        let media = message.value("content-type").map(latin1).unwrap_or_default();
        let mut data = json!({ "mimeType": media });
        put_text(&mut data, &message.body);
        put_comment(&mut data, &exchange.record.request);
        request["postData"] = data;
    }
    put_trailers(&mut request, message);
    request
}

fn response(exchange: &Exchange<'_>) -> Value {
    let message = &exchange.response;
    let [version, ..] = message.words();
    let media = message.value("content-type").map(latin1).unwrap_or_default();
    let decoded = decoded(message);
    let body = decoded.as_ref().unwrap_or(&message.body);
    let mut content = json!({ "size": body.len(), "mimeType": media });
    if !body.is_empty() {
        put_text(&mut content, body);
    }
    if decoded.is_some() {
        content["compression"] = (body.len() as i64 - message.body.len() as i64).into();
    } else if let Some(coding) = message.value("content-encoding") {
        content["comment"] = format!("in the coding {}, as it was sent", latin1(coding)).into();
    }
    put_comment(&mut content, &exchange.record.response);
    let mut response = json!({
        "status": message.status(),
        "statusText": latin1(message.reason()),
        "httpVersion": latin1(version),
        "cookies": cookies(message, "set-cookie"),
        "headers": fields(&message.fields),
        "content": content,
        "redirectURL": message.value("location").map(latin1).unwrap_or_default(),
        "headersSize": head_size(&exchange.record.response),
        "bodySize": body_size(&exchange.record.response, message),
    });
    put_trailers(&mut response, message);
    response
}

/// The most bytes that a body may have when it is decompressed: a small one can contain gigabytes.
const DECODED_MAX: u64 = 16 << 20;

/// The body without its content coding, if it has one that we know.
fn decoded(message: &Message) -> Option<Vec<u8>> {
    fn read(decoder: impl Read) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        decoder.take(DECODED_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
    let coding = message.value("content-encoding")?.to_ascii_lowercase();
    let bytes = match &coding[..] {
        b"gzip" | b"x-gzip" => read(MultiGzDecoder::new(&message.body[..])),
        b"deflate" => read(ZlibDecoder::new(&message.body[..])),
        _ => return None,
    };
    bytes.ok().filter(|bytes| bytes.len() as u64 <= DECODED_MAX)
}

/// The body as text, or in base64 if it is not UTF-8.
fn put_text(into: &mut Value, body: &[u8]) {
    match str::from_utf8(body) {
        Ok(text) => into["text"] = text.into(),
        Err(_) => {
            into["text"] = BASE64_STANDARD.encode(body).into();
            into["encoding"] = "base64".into();
        }
    }
}

/// Says how much is missing.
fn put_comment(into: &mut Value, side: &Side) {
    if side.is_cut() {
        into["comment"] = "the body is cut".into();
        into["_total"] = side.body_total().into();
    }
}

fn head_size(side: &Side) -> i64 {
    if side.total == 0 { -1 } else { i64::try_from(side.head).unwrap_or(-1) }
}

/// The bytes of the body on the wire; -1 if nothing was sent, or if the rest of a body in chunks is unknown.
fn body_size(side: &Side, message: &Message) -> i64 {
    let known = if message.is_chunked { message.body.len() as u64 } else { side.body_total() };
    if side.total == 0 || (message.is_chunked && side.is_cut()) { -1 } else { i64::try_from(known).unwrap_or(-1) }
}

fn fields(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<Pair> {
    fields.iter().map(|(name, value)| Pair { name: latin1(name), value: latin1(value) }).collect()
}

/// Adds the trailers, for which the format has no member.
fn put_trailers(into: &mut Value, message: &Message) {
    if !message.trailers.is_empty() {
        into["_trailers"] = json!(fields(&message.trailers));
    }
}

fn cookies(message: &Message, name: &str) -> Vec<Pair> {
    let is_named = |(known, _): &&(Vec<u8>, Vec<u8>)| known.eq_ignore_ascii_case(name.as_bytes());
    // Only the first part of a Set-Cookie is a cookie.
    let count = if name == "cookie" { usize::MAX } else { 1 };
    let values = message.fields.iter().filter(is_named).map(|(_, value)| value);
    let cookies = values.flat_map(|value| value.split(|byte| *byte == b';').take(count).map(field::trim));
    cookies.filter(|cookie| !cookie.is_empty()).map(|cookie| pair(cookie, false)).collect()
}

/// `name=value`, with escapes decoded or not.
fn pair(text: &[u8], is_escaped: bool) -> Pair {
    let equals = text.iter().position(|byte| *byte == b'=');
    let (name, value) = equals.map_or((text, &b""[..]), |equals| (&text[..equals], &text[equals + 1..]));
    let text = |part: &[u8]| {
        if !is_escaped {
            return latin1(part);
        }
        let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let decoded = field::percent_decoded(&spaced);
        String::from_utf8(decoded).unwrap_or_else(|error| latin1(error.as_bytes()))
    };
    Pair { name: text(name), value: text(value) }
}

/// Each byte as the character with its number.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The times of an exchange in milliseconds.
struct Timings {
    /// Waiting for other handlers; `None` if it never waited for one.
    blocked: Option<f64>,
    send: f64,
    wait: f64,
    receive: f64,
}

impl Timings {
    fn of(exchange: &Exchange<'_>) -> Self {
        let record = exchange.record;
        let marks = &record.marks;
        let last = |side: &Side| side.turns.last().map(|(at, _)| *at);
        let end = last(&record.response).or(marks.ended).or(marks.completed).unwrap_or(0);
        let first = record.response.turns.first().map_or(end, |(at, _)| *at);
        // A response may begin before the request has ended.
        let sent = last(&record.request).unwrap_or(0).min(first);
        let blocked = marks.admitted.zip(marks.head).map(|(admitted, head)| admitted.saturating_sub(head));
        let waited = first - sent;
        let blocked = blocked.map(|blocked| blocked.min(waited));
        let millis = |micros: u64| micros as f64 / 1000.0;
        Self {
            blocked: blocked.map(millis),
            send: millis(sent),
            wait: millis(waited - blocked.unwrap_or(0)),
            receive: millis(end.saturating_sub(first)),
        }
    }

    fn sum(&self) -> f64 {
        self.blocked.unwrap_or(0.0) + self.send + self.wait + self.receive
    }

    fn json(&self) -> Value {
        json!({
            "blocked": self.blocked.unwrap_or(-1.0),
            "dns": -1,
            "connect": -1,
            "ssl": -1,
            "send": self.send,
            "wait": self.wait,
            "receive": self.receive,
        })
    }
}
