//! Lays requests out for people (`--pretty`): the head by its parts, JSON and forms by their fields.

use std::{fmt::Write as _, mem};

use wasmserve_gateway::{
    escape::{escape, escape_bytes},
    field::quoted_elements,
    request::RequestHead,
};

use super::{conversation::Found, print::hex_rows};

/// How much of a body is laid out, in bytes. The rest is only counted.
const SHOWN_MAX: usize = 1 << 20;

/// How much of a binary body is shown, in bytes.
const BINARY_MAX: usize = 256;

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Pretty {
    is_colorful: bool,
    content_type: String,
    /// The codings of the body that we do not decode.
    coding: String,
    body: Vec<u8>,
    /// Bytes of the body beyond what is kept.
    left_out: u64,
}

impl Pretty {
    pub(super) fn new(is_colorful: bool) -> Self {
        Self { is_colorful, content_type: String::new(), coding: String::new(), body: Vec::new(), left_out: 0 }
    }

    /// Appends lines for what was found.
    pub(super) fn show(&mut self, found: &Found<'_>, text: &mut String) {
        match found {
            Found::Head(head) => self.head(head, text),
            Found::Body(bytes) => {
                let kept = bytes.len().min(SHOWN_MAX - self.body.len());
                self.body.extend_from_slice(&bytes[..kept]);
                self.left_out += (bytes.len() - kept) as u64;
            }
            Found::End => self.end(text),
            Found::Other(bytes) => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    _ = writeln!(text, "{}", escape_bytes(line));
                }
            }
        }
    }

    fn head(&mut self, head: &RequestHead, text: &mut String) {
        let last = |name| head.values(name).last().map(|value| String::from_utf8_lossy(value).into_owned());
        self.content_type = last("content-type").unwrap_or_default();
        self.coding = last("content-encoding").unwrap_or_default();
        let line = escape(head.line());
        let (method, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let (bold, dim, reset) = if self.is_colorful { ("\x1b[1m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
        _ = writeln!(text, "{bold}{method}{reset} {rest}");
        let width = head.fields().map(|(name, _)| escape(name).chars().count()).max().unwrap_or(0).min(30);
        for (name, value) in head.fields() {
            let name = escape(name);
            let gap = " ".repeat(width.saturating_sub(name.chars().count()));
            _ = writeln!(text, "  {dim}{name}{reset}{gap}  {}", escape(value));
        }
    }

    /// Shows the body once it is complete, or as far as it has arrived when the connection ends.
    pub(super) fn end(&mut self, text: &mut String) {
        let (body, left_out) = (mem::take(&mut self.body), mem::take(&mut self.left_out));
        if body.is_empty() {
            return;
        }
        text.push('\n');
        let lines = self.lines(&body, left_out > 0);
        lines.lines().for_each(|line| _ = writeln!(text, "  {line}"));
        if left_out > 0 {
            _ = writeln!(text, "  ({left_out} more bytes)");
        }
        text.push('\n');
    }

    fn lines(&self, body: &[u8], is_cut: bool) -> String {
        let kind = quoted_elements(self.content_type.as_bytes(), b';').next().unwrap_or_default().to_ascii_lowercase();
        if !self.coding.is_empty() && !self.coding.eq_ignore_ascii_case("identity") {
            let coding = escape(self.coding.as_bytes());
            return format!("({} bytes of {coding}, not decoded)\n{}", body.len(), hex_rows(0, first(body)));
        }
        let is_form = kind == b"application/x-www-form-urlencoded";
        match str::from_utf8(body) {
            Ok(json) if !is_form && !is_cut && is_json(body) => laid_out(json),
            _ if is_form && !is_cut => form(body),
            // A character may be cut at the end.
            Ok(_) => escaped_lines(body),
            Err(error) if is_cut && error.error_len().is_none() => escaped_lines(body),
            Err(_) if kind.starts_with(b"text/") || kind.starts_with(b"multipart/") => escaped_lines(body),
            Err(_) => format!("({} bytes, not text)\n{}", body.len(), hex_rows(0, first(body))),
        }
    }
}

fn first(body: &[u8]) -> &[u8] {
    &body[..body.len().min(BINARY_MAX)]
}

fn escaped_lines(body: &[u8]) -> String {
    let lines = body.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.map(|line| escape(line) + "\n").collect()
}

/// The fields of a form, decoded.
fn form(body: &[u8]) -> String {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let lines = pairs.map(|pair| {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        format!("{} = {}\n", escape(&decode(name)), escape(&decode(value)))
    });
    lines.collect()
}

/// Decodes `%XX` and `+`.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, others @ ..] = rest {
        let digits = others.first_chunk::<2>().and_then(|digits| str::from_utf8(digits).ok());
        let escaped = digits.filter(|digits| *byte == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        (rest, _) = match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => (&others[2..], decoded.push(byte)),
            None => (others, decoded.push(if *byte == b'+' { b' ' } else { *byte })),
        };
    }
    decoded
}

/// Whether this is an object or an array. Nesting is limited, by serde_json to 128.
fn is_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start(), [b'{' | b'[', ..]) && serde_json::from_slice::<serde_json::Value>(body).is_ok()
}

/// Indents valid JSON. Numbers, strings and the order of fields stay as they were sent.
fn laid_out(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    let mut chars = json.chars().filter({
        let (mut is_string, mut is_escaped) = (false, false);
        move |char| {
            let is_kept = is_string || !char.is_ascii_whitespace();
            (is_string, is_escaped) = after(*char, is_string, is_escaped);
            is_kept
        }
    });
    let mut next = chars.next();
    while let Some(char) = next {
        next = chars.next();
        let is_empty = matches!((char, next), ('{', Some('}')) | ('[', Some(']')));
        match char {
            '{' | '[' if !is_string && !is_empty => {
                depth += 1;
                text.push(char);
                new_line(&mut text, depth);
            }
            '}' | ']' if !is_string => {
                if !text.ends_with(['{', '[']) {
                    depth = depth.saturating_sub(1);
                    new_line(&mut text, depth);
                }
                text.push(char);
            }
            ',' if !is_string => {
                text.push(char);
                new_line(&mut text, depth);
            }
            ':' if !is_string => text.push_str(": "),
            // Backslashes are escapes of JSON and stay.
            '\\' => text.push(char),
            char => text.push_str(&escape(char.encode_utf8(&mut [0; 4]).as_bytes())),
        }
        (is_string, is_escaped) = after(char, is_string, is_escaped);
    }
    text
}

/// Whether the next character is in a string, and whether it is escaped.
fn after(char: char, is_string: bool, is_escaped: bool) -> (bool, bool) {
    match char {
        _ if is_escaped => (is_string, false),
        '\\' => (is_string, is_string),
        '"' => (!is_string, false),
        _ => (is_string, false),
    }
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::{super::conversation::Conversation, *};

    fn shown(sent: &[u8], size: usize) -> String {
        let (mut conversation, mut pretty, mut text) = (Conversation::new(), Pretty::new(false), String::new());
        for piece in sent.chunks(size) {
            conversation.feed(piece, |found| pretty.show(&found, &mut text));
        }
        pretty.end(&mut text);
        text
    }

    fn body(content_type: &str, body: &[u8]) -> String {
        let head = format!("POST / HTTP/1.1\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len());
        let text = shown(&[head.as_bytes(), body].concat(), 7);
        text.split_once("\n\n").map_or(text.clone(), |(_, body)| body.trim_end().to_owned())
    }

    #[test]
    fn requests_are_laid_out_the_same_in_pieces_of_every_size() {
        let sent = b"POST /a?b HTTP/1.1\r\nHost: x\r\nX-\x1b: \xe9\\\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n3\r\n 1}\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let expected = "POST /a?b HTTP/1.1\n  Host               x\n  X-\\x1b             \\xe9\\\\\n  Transfer-Encoding  chunked\n\n  {\n    \"a\": 1\n  }\n\nGET / HTTP/1.1\n";
        for size in 1..=sent.len() {
            assert_eq!(shown(sent, size), expected, "pieces of {size}");
        }
    }

    #[test]
    fn bodies_are_laid_out_by_what_they_are() {
        let json = r#"{"b" : [1.50, {}, [], "a\"],\\"], "a":{"c":"#.to_owned() + "\"\u{202e}\"}}";
        let laid_out = "{\n    \"b\": [\n      1.50,\n      {},\n      [],\n      \"a\\\"],\\\\\"\n    ],\n    \"a\": {\n      \"c\": \"\\u{202e}\"\n    }\n  }";
        assert_eq!(body("application/json", json.as_bytes()), format!("  {laid_out}"));
        assert_eq!(body("application/x-www-form-urlencoded", b"a=b%20c+d&%1b=&e"), "  a = b c d\n  \\x1b = \n  e =");
        assert_eq!(body("text/plain", b"one\r\ntwo \x1b[2J\n"), "  one\n  two \\x1b[2J");
        assert!(body("image/png", b"\x89PNG\xff").starts_with("  (5 bytes, not text)\n  00000000  89 50 4e 47 ff"));
        assert_eq!(body("application/json", b"{broken"), "  {broken");
    }
}
