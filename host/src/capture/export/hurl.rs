//! Files of Hurl: requests, with assertions about their responses.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use wasmserve_gateway::{escape::escape, field};

use super::exchange::{Exchange, Written};
use crate::capture::{message::Message, redact::REDACTED};

/// The longest body that is a part of the file, in bytes.
const INLINE_MAX: usize = 64 << 10;

/// Fields of responses that the transport decides, or that differ each time.
const NOT_ASSERTED: [&str; 8] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
    "trailer",
    "wasmserve-request-id",
];

/// Adds a request and what its response must be.
pub(super) fn add(exchange: &Exchange<'_>, written: &mut Written) {
    let mut lost: Vec<String> = exchange.missing();
    let mut text = String::new();
    if exchange.is_http() {
        request(exchange, &mut text, &mut lost, &mut written.beside);
        response(exchange, &mut text, &mut lost, &mut written.beside);
    } else {
        lost.push("what was sent is not a request that Hurl can send, the format raw has its bytes".into());
    }
    if !written.bytes.is_empty() {
        written.text("\n");
    }
    written.text(&format!("# {}\n", exchange.title()));
    for what in &lost {
        written.text(&format!("# {what}\n"));
    }
    written.text(&text);
    written.notes.extend(lost.into_iter().map(|what| format!("[{}] {what}", exchange.record.id)));
}

fn request(exchange: &Exchange<'_>, text: &mut String, lost: &mut Vec<String>, beside: &mut Vec<(String, Vec<u8>)>) {
    let Exchange { record, request, name, .. } = exchange;
    let method = String::from_utf8_lossy(exchange.method());
    if !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        lost.push("Hurl cannot send the method, which is not in capitals".into());
        return;
    }
    // To ourselves, as the host that the client named may be someone else's server.
    let target = exchange.origin_target().replace("{{", "%7B%7B").replace('#', "%23");
    if target.as_bytes() != exchange.url.path {
        lost.push("the target has escapes that the captured one did not have".into());
    }
    _ = writeln!(text, "{method} http://{}{target}", record.local);
    for (name, value) in &request.fields {
        let is_framing =
            ["content-length", "transfer-encoding"].iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if is_framing {
            continue;
        }
        match field_line(name, value) {
            Some(line) => text.push_str(&line),
            None => lost.push("a field is left out, since Hurl cannot express it".into()),
        }
    }
    // Hurl adds these, and leaves them out if they are empty.
    for added in ["User-Agent", "Accept"] {
        if request.value(added).is_none() {
            lost.push(format!("Hurl adds {added}"));
        }
    }
    text.push_str("[Options]\npath-as-is: true\n");
    if request.is_chunked {
        lost.push("the body is not sent in chunks".into());
    }
    if !request.trailers.is_empty() {
        lost.push("trailers are left out".into());
    }
    if !request.body.is_empty() {
        body(&request.body, &format!("{name}.body"), text, beside);
    }
}

fn response(exchange: &Exchange<'_>, text: &mut String, lost: &mut Vec<String>, beside: &mut Vec<(String, Vec<u8>)>) {
    let Exchange { response, name, .. } = exchange;
    let status = response.status();
    if text.is_empty() {
        return;
    }
    if status == 0 {
        lost.push("there was no response".into());
        return;
    }
    _ = writeln!(text, "HTTP {status}");
    for (name, value) in &response.fields {
        if NOT_ASSERTED.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) || contains_secret(value) {
            continue;
        }
        match field_line(name, value) {
            Some(line) => text.push_str(&line),
            None => lost.push("a field of the response is not asserted, since Hurl cannot express it".into()),
        }
    }
    if response.value("content-encoding").is_some() {
        lost.push("the body of the response is not asserted, since Hurl decodes it".into());
    } else if is_asserted(exchange, response) {
        body(&response.body, &format!("{name}.response-body"), text, beside);
    }
}

/// Whether there is a whole body to compare with.
fn is_asserted(exchange: &Exchange<'_>, response: &Message) -> bool {
    let has_none = exchange.method() == b"HEAD" || matches!(response.status(), 204 | 304);
    response.is_whole && !has_none && !response.body.is_empty()
}

fn contains_secret(value: &[u8]) -> bool {
    memchr::memmem::find(value, REDACTED.as_bytes()).is_some()
}

/// A field as a line. A secret that was replaced becomes a variable.
fn field_line(name: &[u8], value: &[u8]) -> Option<String> {
    if !field::is_token(name) {
        return None;
    }
    let name = String::from_utf8_lossy(name);
    let value = escaped(str::from_utf8(value).ok()?, "#");
    let variable: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let value = value.replace(REDACTED, &format!("{{{{{variable}}}}}"));
    Some(format!("{}: {value}\n", escaped_name(&name)))
}

/// Escapes text for a place in which `also` has a meaning.
fn escaped(text: &str, also: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Two of them begin a variable.
            '{' if before == Some('{') => out.push_str("\\u{7b}"),
            c if also.contains(c) => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() || !escape(c.encode_utf8(&mut [0; 4]).as_bytes()).chars().eq([c]) => {
                _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
        before = Some(c);
    }
    out
}

fn escaped_name(name: &str) -> String {
    name.chars().map(|c| if c == '#' { "\\#".to_owned() } else { c.to_string() }).collect()
}

/// A body: as text if it is text, else in base64, or in a file if it is long.
fn body(bytes: &[u8], file: &str, text: &mut String, beside: &mut Vec<(String, Vec<u8>)>) {
    match str::from_utf8(bytes) {
        _ if bytes.len() > INLINE_MAX => {
            beside.push((file.to_owned(), bytes.to_vec()));
            _ = writeln!(text, "file,{file};");
        }
        Ok(body) if !body.contains('\0') => _ = writeln!(text, "`{}`", escaped(body, "`#")),
        _ => _ = writeln!(text, "base64,{};", BASE64_STANDARD.encode(bytes)),
    }
}
