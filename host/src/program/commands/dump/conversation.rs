//! Follows what a client sends as far as it is HTTP/1, to know what the client waits for.
//!
//! Never refuses anything: what is not HTTP, or not any more, is passed on as it is. How the input is split into reads
//! makes no difference.

use wasmserve_gateway::{
    field::elements,
    foreign,
    request::{RequestHead, RequestLimits, Version},
    stream::{Parser, Piece},
};

/// The largest head, in bytes. What begins like a longer one counts as another protocol.
const HEAD_MAX: usize = 256 << 10;

/// What was found in the input.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// The head of a request.
    Head(RequestHead),
    /// Bytes of its body, without framing.
    Body(&'a [u8]),
    /// The end of the request.
    End,
    /// Bytes that are not HTTP/1, or no longer.
    Other(&'a [u8]),
}

/// What the client waits for, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing: it is in the middle of a request.
    Not,
    /// Perhaps for an answer: a request is complete, or it speaks another protocol.
    Perhaps,
    /// For permission to send the body of its first request (RFC 9110 section 10.1.1).
    ForContinue,
}

/// What a client has sent so far.
#[derive(Debug)]
pub(super) struct Conversation {
    state: State,
    /// How many heads were complete.
    heads: u64,
    /// Whether the first request asks for permission, which is given once.
    expects_continue: bool,
    /// Whether the first request has the method HEAD.
    is_head: bool,
}

#[derive(Debug)]
enum State {
    /// A head, or empty lines before one.
    Head(Partial),
    /// A body with this many bytes left, at least one.
    Length(u64),
    /// A chunked body.
    Chunked(Box<Parser>),
    /// Another protocol, or a message that cannot be followed.
    Other,
}

impl Conversation {
    /// A conversation that has not begun.
    pub(super) fn new() -> Self {
        Self { state: State::Head(Partial::default()), heads: 0, expects_continue: false, is_head: false }
    }

    /// Passes what is found in the input to `found`.
    pub(super) fn feed(&mut self, mut input: &[u8], mut found: impl FnMut(Found<'_>)) {
        while !input.is_empty() {
            match &mut self.state {
                State::Head(partial) => match partial.add(&mut input) {
                    Line::Incomplete => {}
                    Line::Head(head) => {
                        self.begin(&head);
                        found(Found::Head(head));
                        if let State::Head(_) = self.state {
                            found(Found::End);
                        }
                    }
                    Line::Other(bytes) => {
                        self.state = State::Other;
                        found(Found::Other(&bytes));
                    }
                },
                State::Length(left) => {
                    let (body, rest) = input.split_at(input.len().min(usize::try_from(*left).unwrap_or(usize::MAX)));
                    input = rest;
                    *left -= body.len() as u64;
                    found(Found::Body(body));
                    if *left == 0 {
                        self.state = State::Head(Partial::default());
                        found(Found::End);
                    }
                }
                State::Chunked(parser) => {
                    let before = input;
                    match parser.next(&mut input) {
                        Some(Piece::Data(body)) => found(Found::Body(body)),
                        Some(Piece::End(_)) => {
                            self.state = State::Head(Partial::default());
                            found(Found::End);
                        }
                        Some(Piece::Malformed | Piece::Start(_)) => {
                            self.state = State::Other;
                            found(Found::End);
                            found(Found::Other(before));
                            return;
                        }
                        None => {}
                    }
                }
                State::Other => return found(Found::Other(input)),
            }
        }
    }

    /// What the client waits for.
    pub(super) fn waits(&self) -> Waits {
        match &self.state {
            _ if self.expects_continue && self.heads == 1 => Waits::ForContinue,
            State::Head(partial) if partial.is_blank() => Waits::Perhaps,
            // The first of several requests has to be answered first.
            _ if self.heads > 1 => Waits::Perhaps,
            State::Head(_) if self.heads == 1 => Waits::Perhaps,
            State::Head(_) | State::Length(_) | State::Chunked(_) => Waits::Not,
            State::Other => Waits::Perhaps,
        }
    }

    /// Records that the client got permission to send its body.
    pub(super) fn permitted(&mut self) {
        self.expects_continue = false;
    }

    /// Whether the first request has the method HEAD, whose answer has no body.
    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    /// Reads a head, and finds out how its body ends.
    fn begin(&mut self, head: &RequestHead) {
        self.heads += 1;
        if self.heads == 1 {
            let mut expectations = head.values("expect").flat_map(elements);
            let is_continue = expectations.any(|one| one.eq_ignore_ascii_case(b"100-continue"));
            self.expects_continue = is_continue && head.version() != Version::Http10;
            self.is_head = head.method() == b"HEAD";
        }
        let coding = head.values("transfer-encoding").flat_map(elements).last();
        let length = head.values("content-length").flat_map(elements).next();
        let length = length.and_then(|length| str::from_utf8(length).ok()?.parse().ok());
        self.state = match (coding, length) {
            (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => State::Chunked(Box::new(chunks())),
            (_, Some(length)) if length > 0 => State::Length(length),
            _ => State::Head(Partial::default()),
        };
    }
}

/// A parser that is at the beginning of a chunked body.
fn chunks() -> Parser {
    let mut parser = Parser::new(RequestLimits::DEFAULT);
    _ = parser.next(&mut &b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"[..]);
    parser
}

/// The beginning of a head.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    /// Where the head starts, after empty lines.
    start: usize,
    /// Where the first incomplete line starts.
    line: usize,
    /// The first byte that was not searched for a line end.
    seen: usize,
}

/// What a head turned out to be.
enum Line {
    Incomplete,
    Head(RequestHead),
    Other(Vec<u8>),
}

impl Partial {
    /// Takes input up to the end of the head.
    fn add(&mut self, input: &mut &[u8]) -> Line {
        self.bytes.extend_from_slice(input);
        let all = std::mem::take(input);
        while let Some(length) = self.bytes[self.seen..].iter().position(|byte| *byte == b'\n') {
            let (line, end) = (self.line, self.seen + length);
            (self.line, self.seen) = (end + 1, end + 1);
            let text = &self.bytes[line..end];
            match text.strip_suffix(b"\r").unwrap_or(text) {
                [] if line == self.start => self.start = end + 1,
                [] => {
                    *input = &all[all.len() - (self.bytes.len() - (end + 1))..];
                    let head = self.bytes[self.start..=end].to_vec();
                    return Line::Head(RequestHead::new(head.into()));
                }
                text if line == self.start && !is_request_line(text) => return self.other(),
                _ => {}
            }
        }
        self.seen = self.bytes.len();
        let is_first = self.line == self.start;
        let is_text = |byte: &u8| *byte >= b' ' && *byte != 0x7f || matches!(byte, b'\r' | b'\t');
        let is_foreign =
            is_first && (!self.bytes[self.line..].iter().all(is_text) || foreign::name(&self.bytes).is_some());
        if is_foreign || self.bytes.len() > HEAD_MAX { self.other() } else { Line::Incomplete }
    }

    /// Whether no head has begun.
    fn is_blank(&self) -> bool {
        matches!(&self.bytes[self.start..], b"" | b"\r")
    }

    fn other(&mut self) -> Line {
        Line::Other(std::mem::take(&mut self.bytes))
    }
}

/// Whether a line ends like that of a request in HTTP/1.
fn is_request_line(line: &[u8]) -> bool {
    line.len() > 9 && matches!(&line[line.len() - 9..], [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', _])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in pieces of this size: `>` before heads, `.` for ends, `?` before what is not HTTP; and what the
    /// client waits for then.
    fn found(sent: &[u8], size: usize) -> (String, Waits) {
        let (mut conversation, mut text) = (Conversation::new(), String::new());
        let mut is_other = false;
        for piece in sent.chunks(size) {
            conversation.feed(piece, |found| match found {
                Found::Head(head) => text.push_str(&format!(">{}|", head.line().escape_ascii())),
                Found::Body(body) => text.push_str(&body.escape_ascii().to_string()),
                Found::End => text.push('.'),
                Found::Other(bytes) => {
                    text.push_str(if is_other { "" } else { "?" });
                    text.push_str(&bytes.escape_ascii().to_string());
                    is_other = true;
                }
            });
        }
        (text, conversation.waits())
    }

    #[test]
    fn what_a_client_waits_for_does_not_depend_on_the_pieces_it_sends() {
        const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\n";
        for (sent, text, waits) in [
            (
                format!("{POST}Expect: 100-continue\r\nContent-Length: 7\r\n\r\n"),
                ">POST / HTTP/1.1|",
                Waits::ForContinue,
            ),
            (format!("{POST}EXPECT: ,100-Continue,\nContent-Length: 7\n\n"), ">POST / HTTP/1.1|", Waits::ForContinue),
            (format!("{POST}Expect: 100-continue\r\nContent-Length: 7\r\n\r"), "", Waits::Not),
            (
                format!("{POST}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"),
                ">POST / HTTP/1.1|",
                Waits::ForContinue,
            ),
            // Odd heads that a strict parser refuses.
            (
                format!("{POST}A : b\r\n folded\r\nExpect: 100-continue\r\nContent-Length: 7, 7\r\n\r\n"),
                ">POST / HTTP/1.1|",
                Waits::ForContinue,
            ),
            (
                "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n".into(),
                ">POST / HTTP/1.0|",
                Waits::Not,
            ),
            (format!("{POST}Content-Length: 3\r\n\r\nab"), ">POST / HTTP/1.1|ab", Waits::Not),
            (format!("{POST}Content-Length: 3\r\n\r\nabc"), ">POST / HTTP/1.1|abc.", Waits::Perhaps),
            (format!("\r\n\n{POST}\r\n"), ">POST / HTTP/1.1|.", Waits::Perhaps),
            (format!("{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"), ">POST / HTTP/1.1|abc", Waits::Not),
            (
                format!("{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
                ">POST / HTTP/1.1|abc.",
                Waits::Perhaps,
            ),
            // What looks like a head in a body is none, and a later request is not answered first.
            (
                format!("{POST}Content-Length: 27\r\n\r\n\r\nExpect: 100-continue\r\n\r\n."),
                ">POST / HTTP/1.1|\\r\\nExpect: 100-continue\\r\\n\\r\\n..",
                Waits::Perhaps,
            ),
            (
                format!("GET /a HTTP/1.1\r\n\r\n{POST}Expect: 100-continue\r\nContent-Length: 7\r\n\r\n"),
                ">GET /a HTTP/1.1|.>POST / HTTP/1.1|",
                Waits::Perhaps,
            ),
            ("GET /a HTTP/1.1\r\nHost".into(), "", Waits::Not),
            ("GET".into(), "", Waits::Not),
            (String::new(), "", Waits::Perhaps),
            ("GET /\r\n".into(), "?GET /\\r\\n", Waits::Perhaps),
            ("hello\nExpect: 100-continue\r\n\r\n".into(), "?hello\\nExpect: 100-continue\\r\\n\\r\\n", Waits::Perhaps),
            ("\u{16}\u{3}\u{1}".into(), "?\\x16\\x03\\x01", Waits::Perhaps),
        ] {
            for size in 1..=sent.len().max(1) {
                assert_eq!(found(sent.as_bytes(), size), (text.to_owned(), waits), "{sent:?} in pieces of {size}");
            }
        }
    }
}
