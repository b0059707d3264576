//! Commands for a shell that send a request with curl.
//!
//! Captured bytes are hostile: a command must be one command in every shell, whether it is run from a file or pasted into
//! a terminal. So words are quoted by `shlex`, what a terminal would interpret is written by `printf`, and comments
//! contain only letters, digits and a few marks, because a shell may not treat what is pasted after `#` as a comment.
//!
//! curl writes the head itself. What it writes is compared with what was captured, and a difference is reported.

use std::fmt::Write as _;

use wasmserve_gateway::{escape::escape, field};

use super::exchange::{Exchange, Written};
use crate::{base::size, capture::url};

/// The longest body that is a word of the command, in bytes: the system limits words to 128 KiB.
const WORD_MAX: usize = 64 << 10;

/// Adds the command for a request.
pub(super) fn add(exchange: &Exchange<'_>, written: &mut Written) {
    if !written.bytes.is_empty() {
        written.text("\n");
    }
    let mut comments = vec![exchange.title()];
    let id = exchange.record.id;
    if exchange.is_http() {
        let mut curl = Curl::default();
        curl.request(exchange);
        comments.extend(exchange.missing().into_iter().filter(|what| what.contains("request")));
        comments.append(&mut curl.lost);
        written.notes.extend(comments.iter().skip(1).map(|what| format!("[{id}] {what}")));
        comment(&comments, written);
        written.text(&curl.before);
        written.text("curl");
        for (at, words) in curl.options.iter().enumerate() {
            written.text(if at == 0 { " " } else { " \\\n  " });
            written.bytes.extend_from_slice(words);
        }
        written.text("\n");
    } else {
        let why = "what was sent is not a request that curl can send, the format raw has its bytes";
        written.notes.push(format!("[{id}] {why}"));
        comments.push(why.to_owned());
        comment(&comments, written);
    }
}

fn comment(lines: &[String], written: &mut Written) {
    for line in lines {
        // Also harmless where `#` does not begin a comment.
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || " .,:/_-[]".contains(*c);
        let plain: String = line.chars().filter(is_plain).collect();
        written.text(&format!("# {plain}\n"));
    }
}

/// A command of curl.
#[derive(Default)]
struct Curl {
    /// What is piped into it.
    before: String,
    /// Its options, quoted; those that belong on one line together.
    options: Vec<Vec<u8>>,
    /// What the command does not send as it was captured.
    lost: Vec<String>,
    /// What curl sends as the head.
    head: Vec<u8>,
}

impl Curl {
    fn request(&mut self, exchange: &Exchange<'_>) {
        let Exchange { record, request, .. } = exchange;
        let [method, target, version] = request.words();
        let version_option = match version {
            _ if exchange.is_http2() => "--http2-prior-knowledge",
            b"HTTP/1.0" => "--http1.0",
            _ => "--http1.1",
        };
        let mut first = format!("{version_option} --path-as-is --globoff").into_bytes();
        let body = &request.body[..];
        // curl refuses to send a body with `--head`, even an empty one in chunks.
        let is_head = method == b"HEAD" && !has_body(exchange);
        if is_head {
            first.extend_from_slice(b" --head");
        } else {
            first.extend_from_slice(b" -X ");
            first.extend_from_slice(&quoted(method));
        }
        self.options.push(first);
        // Our own address and not the host that the client named, which may be someone else's server.
        let mut address = format!("http://{}", record.local).into_bytes();
        let is_path = target.starts_with(b"/") && !target.contains(&b'#') && !target.ends_with(b"?");
        if is_path && target.iter().all(|byte| url::is_allowed(*byte)) {
            address.extend_from_slice(target);
            self.options.push(quoted(&address));
        } else {
            address.push(b'/');
            self.option("--request-target", target);
            self.options.push(quoted(&address));
        }
        self.head = [method, b" ", target, b" ", version, b"\r\n"].concat();
        self.fields(exchange);
        if request.is_whole && !request.is_chunked && !body.is_empty() && request.value("content-length").is_none() {
            self.lost.push("curl adds a Content-Length".into());
        }
        if has_body(exchange) {
            self.body(body);
        }
        self.head.extend_from_slice(b"\r\n");
        self.compare(exchange);
    }

    fn fields(&mut self, exchange: &Exchange<'_>) {
        let request = &exchange.request;
        let mut hosts = request.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        if let Some((name, value)) = hosts.next() {
            self.sends(name, value);
        }
        for (name, value) in &request.fields {
            let is_fitting = if name.eq_ignore_ascii_case(b"content-length") {
                value == request.body.len().to_string().as_bytes()
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                request.is_chunked && request.is_whole
            } else {
                true
            };
            if !is_fitting {
                self.lost.push("the length of the body is left out, since the body is not whole".into());
                continue;
            }
            if !field::is_token(name) || value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
                self.lost.push("a field is left out, since curl cannot send it".into());
                continue;
            }
            if !name.eq_ignore_ascii_case(b"host") {
                self.sends(name, value);
            }
            let line = if value.is_empty() { [name, &b";"[..]].concat() } else { [name, &b": "[..], value].concat() };
            self.option("-H", &line);
        }
        let has = |name: &str| request.value(name).is_some();
        let has_body = has_body(exchange);
        // What curl adds by itself.
        let added =
            [("Host", true), ("User-Agent", true), ("Accept", true), ("Content-Type", has_body), ("Expect", has_body)];
        for (name, is_added) in added {
            if is_added && !has(name) {
                self.option("-H", format!("{name}:").as_bytes());
            }
        }
    }

    /// Notes a field of what curl sends.
    fn sends(&mut self, name: &[u8], value: &[u8]) {
        let colon: &[u8] = if value.is_empty() { b":" } else { b": " };
        self.head.extend_from_slice(&[name, colon, value, b"\r\n"].concat());
    }

    fn body(&mut self, body: &[u8]) {
        let is_printable = |c: char| c == '\n' || (!c.is_control() && is_harmless(c));
        let is_text = str::from_utf8(body).is_ok_and(|text| text.chars().all(is_printable));
        match shlex::bytes::try_quote(body) {
            Ok(quoted) if is_text && body.len() <= WORD_MAX => {
                self.options.push([b"--data-raw ", &quoted[..]].concat());
            }
            _ => {
                // `printf` is part of the shell, so the length of its words is not limited.
                self.before = format!("printf '{}' | ", octal(body));
                self.options.push(b"--data-binary @-".to_vec());
            }
        }
    }

    fn option(&mut self, name: &str, value: &[u8]) {
        self.options.push([name.as_bytes(), b" ", &quoted(value)].concat());
    }

    /// Reports what curl sends in another way than it was captured.
    fn compare(&mut self, exchange: &Exchange<'_>) {
        let Exchange { record, request, .. } = exchange;
        let head = record.request.head();
        if !exchange.is_http2() && self.lost.is_empty() && head != self.head {
            self.lost.push("the head differs in line ends, white space or order, the format raw has its bytes".into());
        }
        if request.is_chunked {
            self.lost.push("curl chooses the sizes of chunks".into());
        }
        if !request.trailers.is_empty() {
            self.lost.push("trailers are left out".into());
        }
        if has_body(exchange) && request.words()[0] == b"HEAD" {
            self.lost.push("curl waits for a body of the response to HEAD".into());
        }
        let framed = (record.request.bytes.len() - head.len()) as u64;
        let body = request.body.len() as u64;
        if !request.is_chunked && !exchange.is_http2() && framed != body {
            self.lost.push(format!("{} after the request are left out", size::text(framed.saturating_sub(body))));
        }
    }
}

/// Whether curl has to be given a body, which may be empty.
fn has_body(exchange: &Exchange<'_>) -> bool {
    let request = &exchange.request;
    !request.body.is_empty() || (request.is_chunked && request.is_whole)
}

/// Whether a character is shown where it is: the direction of text and invisible characters could hide a part of a
/// command from its reader.
fn is_harmless(c: char) -> bool {
    c == '\\' || escape(c.encode_utf8(&mut [0; 4]).as_bytes()).chars().eq([c])
}

/// A word of a command. What a terminal would interpret when it is pasted is written by `printf`.
fn quoted(word: &[u8]) -> Vec<u8> {
    let is_plain = str::from_utf8(word).is_ok_and(|text| text.chars().all(|c| !c.is_control() && is_harmless(c)));
    match shlex::bytes::try_quote(word) {
        Ok(quoted) if is_plain => quoted.into_owned(),
        _ => format!("\"$(printf '{}')\"", octal(word)).into_bytes(),
    }
}

/// Bytes for the format of `printf`, within single quotes.
fn octal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for (at, byte) in bytes.iter().enumerate() {
        let is_option = at == 0 && *byte == b'-';
        if matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\' | b'%') && !is_option {
            text.push(char::from(*byte));
        } else {
            _ = write!(text, "\\{byte:03o}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_interpret_is_written_by_printf() {
        let text = |word: &[u8]| String::from_utf8(quoted(word)).expect("it is text");
        assert_eq!(text(b"plain"), "plain");
        assert_eq!(text("é".as_bytes()), "'é'");
        assert_eq!(text(b"a\x1b[2J"), r#""$(printf 'a\033[2J')""#);
        assert_eq!(text(b"caf\xe9"), r#""$(printf 'caf\351')""#);
        assert_eq!(text("a\u{202e}b".as_bytes()), r#""$(printf 'a\342\200\256b')""#);
        assert_eq!(octal(b"-a%'\\\n"), r"\055a\045\047\134\012");
    }
}
