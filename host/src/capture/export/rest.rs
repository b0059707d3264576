//! Files of the REST Client of VS Code, which JetBrains' HTTP client reads too.
//!
//! Its syntax has no escapes: what would be read as something else goes into a file beside it, or is reported.

use wasmserve_gateway::{escape::escape, field};

use super::exchange::{Exchange, Written};

/// Methods that the client takes for the beginning of a request.
const METHODS: [&[u8]; 9] = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT"];

/// Adds a request.
pub(super) fn add(exchange: &Exchange<'_>, written: &mut Written) {
    let Exchange { record, request, name, .. } = exchange;
    let mut lost: Vec<String> = exchange.missing().into_iter().filter(|what| what.contains("request")).collect();
    let method = exchange.method();
    let mut lines = Vec::new();
    if exchange.is_http() {
        if !METHODS.contains(&method) {
            lost.push("the client does not know the method".into());
        }
        let mut body = None;
        if !request.body.is_empty() {
            body = Some(if is_plain(&request.body) {
                request.body.clone()
            } else {
                let file = format!("{name}.body");
                written.beside.push((file.clone(), request.body.clone()));
                lost.push("some versions of the client append a line end to the body".into());
                format!("< ./{file}").into_bytes()
            });
        }
        // To ourselves, as the host that the client named may be someone else's server.
        let target = exchange.origin_target();
        lines.push(format!("{} http://{}{target} HTTP/1.1", escape(method), record.local).into_bytes());
        for (name, value) in &request.fields {
            // The client counts the body itself, and knows no chunks.
            let is_framing =
                ["content-length", "transfer-encoding"].iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
            let is_text = str::from_utf8(value).is_ok_and(|value| !value.contains(char::is_control));
            if !is_framing && field::is_token(name) && is_text {
                lines.push([name, &b": "[..], value].concat());
            } else if !is_framing {
                lost.push("a field is left out, since it is not text".into());
            }
        }
        if lines.iter().any(|line| memchr::memmem::find(line, b"{{").is_some()) {
            lost.push("the client takes what is between double braces for a variable".into());
        }
        if target.as_bytes() != exchange.url.path {
            lost.push("the target has escapes that the captured one did not have".into());
        }
        if request.is_chunked {
            lost.push("the body is not sent in chunks".into());
        }
        if !request.trailers.is_empty() {
            lost.push("trailers are left out".into());
        }
        if let Some(body) = body {
            lines.extend([Vec::new(), body]);
        }
    } else {
        lost.push("what was sent is not a request that the client can send, the format raw has its bytes".into());
    }
    written.text(if written.bytes.is_empty() { "### " } else { "\n### " });
    written.text(&format!("{}\n", exchange.title()));
    for what in &lost {
        written.text(&format!("# {what}\n"));
    }
    for line in lines {
        written.bytes.extend_from_slice(&line);
        written.text("\n");
    }
    written.notes.extend(lost.into_iter().map(|what| format!("[{}] {what}", record.id)));
}

/// Whether the client sends a body as it is written: no line begins what means something, and nothing is trimmed.
fn is_plain(body: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(body) else { return false };
    let means_something = |line: &str| ["#", "<", ">", "//", "@", "?", "&"].iter().any(|mark| line.starts_with(mark));
    !text.contains("{{")
        && !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t')
        && text.trim() == text
        && !text.lines().any(|line| line.is_empty() || means_something(line.trim_start()))
}
