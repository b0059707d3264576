//! Unit tests for a handler in Rust, with the SDK: `wasmserve test` runs them.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use wasmserve_gateway::{
    environ::{self, Facts, Peer, Var},
    escape::escape,
    forwarded::Forwarded,
    mounts::Mount,
};

use super::exchange::{Exchange, Written};
use crate::capture::redact::REDACTED;

/// The longest body that is a literal, in bytes.
const LITERAL_MAX: usize = 4 << 10;

/// What the SDK's environ for tests has by itself.
const DEFAULTS: [(&str, &[u8]); 11] = [
    ("REQUEST_METHOD", b"GET"),
    ("SCRIPT_NAME", b""),
    ("PATH_INFO", b"/"),
    ("QUERY_STRING", b""),
    ("SERVER_NAME", b"127.0.0.1"),
    ("SERVER_PORT", b"8000"),
    ("SERVER_PROTOCOL", b"HTTP/1.1"),
    ("GATEWAY_INTERFACE", b"CGI/1.1"),
    ("REMOTE_ADDR", b"127.0.0.1"),
    ("REMOTE_HOST", b"127.0.0.1"),
    ("HTTP_HOST", b"127.0.0.1:8000"),
];

/// Variables that differ each time, or that the SDK sets.
const LEFT_OUT: [&str; 5] = ["CONTENT_LENGTH", "RAW_URI", "REMOTE_PORT", "REQUEST_URI", "SERVER_SOFTWARE"];

/// Fields of responses that the gateway adds to those of the handler.
const OF_GATEWAY: [&str; 9] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "trailer",
    "transfer-encoding",
    "wasmserve-fault",
    "wasmserve-request-id",
];

/// Adds a test.
pub(super) fn add(exchange: &Exchange<'_>, written: &mut Written) {
    let id = exchange.record.id;
    let mut lost = exchange.missing();
    if written.bytes.is_empty() {
        written.text(BEGIN);
    }
    written.text("\n");
    written.text(&format!("    // {}\n", exchange.title()));
    if exchange.is_http()
        && let Some(facts) = &exchange.record.facts
    {
        let mut text = String::new();
        if !facts.env.is_empty() {
            lost.push(format!("the values of {} (--env) were not captured", escape(facts.env.join(", ").as_bytes())));
        }
        test(exchange, &mut text, &mut lost, &mut written.beside);
        for what in &lost {
            written.text(&format!("    // {what}\n"));
        }
        written.text(&text);
    } else {
        lost.push("no handler was called, so there is nothing to test".into());
        written.text("    // no handler was called, so there is nothing to test\n");
    }
    written.notes.extend(lost.into_iter().map(|what| format!("[{id}] {what}")));
}

/// Ends the module.
pub(super) fn end(written: &mut Written) {
    if !written.bytes.is_empty() {
        written.text("}\n");
    }
}

const BEGIN: &str = "\
// For the end of a handler's source. If it does not say `handler!(app)`, write what it says in the place of `app`.
#[cfg(test)]
mod captured {
    use wasmserve_guest::{Environ, testing::call};

    use super::*;
";

fn test(exchange: &Exchange<'_>, text: &mut String, lost: &mut Vec<String>, beside: &mut Vec<(String, Vec<u8>)>) {
    let Exchange { record, request, name, .. } = exchange;
    _ = writeln!(text, "    #[test]\n    fn {}() {{", function(exchange));
    let (strings, bytes): (Vec<_>, Vec<_>) = variables(exchange)
        .into_iter()
        .partition(|(_, value)| str::from_utf8(value).is_ok_and(|value| !value.contains('\0')));
    text.push_str("        let environ = Environ::for_test([");
    for (name, value) in &strings {
        let value = String::from_utf8_lossy(value);
        _ = write!(text, "\n            ({}, {}),", string(name), string(&value));
    }
    text.push_str(if strings.is_empty() { "])" } else { "\n        ])" });
    for (name, value) in &bytes {
        _ = write!(text, "\n        .with({}, {})", string(name), literal(value));
    }
    let head = &record.request.bytes[..record.request.head().len()];
    if !exchange.is_http2() {
        _ = write!(text, "\n        .with_raw_head({})", literal(head));
    }
    if !request.body.is_empty() {
        let with = if request.is_chunked { "with_chunked_input" } else { "with_input" };
        let body = included(&request.body, &format!("captured/{name}.body"), beside);
        _ = write!(text, "\n        .{with}({body})");
    }
    if !request.trailers.is_empty() {
        lost.push("trailers are left out".into());
    }
    text.push_str(";\n        let answer = call(app, environ);\n");
    if let Some(fault) = &record.fault {
        let fault = escape(format!("{}: {}", fault.kind, fault.text).as_bytes());
        _ = writeln!(text, "        // It was {fault}\n        assert_eq!(answer.fault, None);\n    }}");
        return;
    }
    assertions(exchange, text, lost, beside);
    text.push_str("    }\n");
}

fn assertions(exchange: &Exchange<'_>, text: &mut String, lost: &mut Vec<String>, beside: &mut Vec<(String, Vec<u8>)>) {
    let Exchange { response, name, .. } = exchange;
    text.push_str("        assert_eq!(answer.fault, None);\n");
    if response.status() == 0 {
        lost.push("there was no response to compare with".into());
        return;
    }
    let status = [response.words()[1], response.reason()].join(&b' ');
    _ = writeln!(text, "        assert_eq!(answer.status, {});", string(&String::from_utf8_lossy(&status)));
    let mut names = BTreeSet::new();
    for (name, _) in &response.fields {
        let lower = name.to_ascii_lowercase();
        if OF_GATEWAY.iter().any(|known| known.as_bytes() == lower) || !names.insert(lower) {
            continue;
        }
        let is_named = |(other, _): &&(Vec<u8>, Vec<u8>)| other.eq_ignore_ascii_case(name);
        let mut values = response.fields.iter().filter(is_named).map(|(_, value)| value);
        if values.any(|value| memchr::memmem::find(value, REDACTED.as_bytes()).is_some()) {
            lost.push("a field of the response is not compared, as it contained a secret".into());
            continue;
        }
        let values: Vec<String> =
            response.fields.iter().filter(is_named).map(|(_, value)| format!("&{}[..]", literal(value))).collect();
        let name = string(&String::from_utf8_lossy(name));
        if let [value] = &values[..] {
            _ = writeln!(
                text,
                "        assert_eq!(answer.header({name}).map(|value| value.as_bytes()), Some({value}));"
            );
            continue;
        }
        _ = writeln!(
            text,
            "        let values = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case({name}));\n        \
             assert_eq!(values.map(|(_, value)| value.as_bytes()).collect::<Vec<_>>(), [{}]);",
            values.join(", ")
        );
    }
    let has_none = exchange.method() == b"HEAD" || matches!(response.status(), 204 | 304);
    if response.is_whole && !has_none {
        let body = included(&response.body, &format!("captured/{name}.response-body"), beside);
        _ = writeln!(text, "        assert_eq!(answer.body, {body});");
    }
}

/// The variables that a test needs besides the defaults.
fn variables(exchange: &Exchange<'_>) -> Vec<Var> {
    let record = exchange.record;
    let Some(facts) = &record.facts else { return Vec::new() };
    let mount = facts.mount.parse().unwrap_or(Mount::ROOT);
    let built = environ::build(
        &record.request_head(),
        &Facts {
            peer: Peer { remote: record.remote, local: record.local },
            server_name: facts.server_name.as_deref(),
            mount: &mount,
            content_length: facts.content_length,
            forwarded: Forwarded { client: facts.forwarded_for, is_https: facts.is_https },
            id: record.id,
            timeout: Duration::ZERO,
            env: &[],
        },
    );
    let is_needed = |(name, value): &Var| {
        let is_default = DEFAULTS.iter().any(|(known, default)| known == name && value == default);
        let is_ours = name.starts_with("wasmserve.") || (name.starts_with("wsgi.") && name != "wsgi.url_scheme");
        let is_http = name == "wsgi.url_scheme" && &value[..] == b"http";
        !is_default && !is_ours && !is_http && !LEFT_OUT.contains(&&**name)
    };
    built.into_iter().filter(is_needed).collect()
}

/// The name of a test: `captured_17_post_hook`.
fn function(exchange: &Exchange<'_>) -> String {
    let path = exchange.url.path.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    let words = [exchange.name.as_bytes(), exchange.method(), path].join(&b' ');
    let words = words.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = "captured".to_owned();
    for word in words {
        let word = String::from_utf8_lossy(word).to_ascii_lowercase();
        if name.len() + word.len() < 80 {
            _ = write!(name, "_{word}");
        }
    }
    name
}

fn string(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

fn literal(bytes: &[u8]) -> String {
    format!("b\"{}\"", bytes.escape_ascii())
}

/// A literal, or what includes a file if that would be long.
fn included(bytes: &[u8], file: &str, beside: &mut Vec<(String, Vec<u8>)>) -> String {
    if bytes.len() <= LITERAL_MAX {
        return literal(bytes);
    }
    beside.push((file.to_owned(), bytes.to_vec()));
    format!("include_bytes!(\"{file}\")")
}
