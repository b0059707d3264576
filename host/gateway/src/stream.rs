//! Parses what a client sends on an HTTP/1 connection into heads, bodies and trailers.
//!
//! **This is the only parser of that stream.** Two parsers of one stream can be tricked into seeing different requests,
//! and then one request gets another's body. So hyper reads none of the client's framing: the transport writes new
//! heads and chunks for it from the pieces that this parser returns.

pub(crate) mod chunks;
mod line;

use std::mem;

use bytes::Bytes;

use self::chunks::{Chunk, Chunks};
pub(crate) use self::line::is_target;
pub use crate::framing::Framing;
use crate::{
    field, foreign,
    framing::FramingFields,
    refusal::Refusal,
    request::{self, RequestHead, RequestLimits},
    version::Version,
};

/// How much memory is kept for the next incomplete head: more than most heads need.
const KEPT_MAX: usize = 1 << 10;

/// How much of a refused head is kept: more than a target may have.
const REFUSED_MAX: usize = 16 << 10;

/// Parses everything received on one connection.
#[derive(Debug)]
pub struct Parser {
    head_max: usize,
    target_max: usize,
    fields_max: usize,
    state: State,
    /// The beginning of an incomplete head.
    partial: Vec<u8>,
    /// How much of that head has been checked.
    progress: Progress,
    /// Bytes of empty lines before the head.
    blank: usize,
    /// How many heads have been completed.
    heads: u64,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum State {
    /// A head, or empty lines before one.
    Head,
    /// A body with this many bytes missing, at least one.
    Length { left: u64, is_last: bool },
    /// A chunked body.
    Chunked { chunks: Box<Chunks>, is_last: bool },
    /// Nothing: input is discarded.
    Over(End),
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The last request of the connection is complete.
    Last,
    /// The last head was refused.
    Refused,
    /// The framing of the last body is broken.
    Malformed,
}

/// A piece of the input.
#[derive(Debug)]
pub enum Piece<'a> {
    /// A request begins.
    Start(Start),
    /// Bytes of the request body, without framing.
    Data(&'a [u8]),
    /// The end of a chunked body, with its trailer lines: well-formed fields that end in CRLF.
    End(Vec<u8>),
    /// The framing of a body is broken (rule I6). No piece follows.
    Malformed,
}

/// The start of a request.
#[derive(Clone, Debug)]
pub struct Start {
    /// The head, or the part received if it is refused.
    pub head: RequestHead,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the client waits for `100 Continue` before it sends its body (rule I9).
    pub expects_continue: bool,
    /// Whether the client takes trailers (RFC 9110 section 10.1.4).
    pub takes_trailers: bool,
    /// Whether no request may follow on this connection (rules K1, K2, K7).
    pub is_last: bool,
    /// Why the head is refused, if it is. Then it has no body and `is_last` is set.
    pub refusal: Option<Refusal>,
}

/// What a client must send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A head, part of which may have arrived.
    Head,
    /// Nothing, or another request.
    NextRequest,
    /// The rest of a body.
    Body,
    /// Nothing: no other request may follow.
    Nothing,
}

/// How much of a head has been checked, and what it contains.
#[derive(Debug, Default)]
struct Progress {
    /// The start of the first incomplete line.
    line: usize,
    /// The first byte not checked yet.
    seen: usize,
    version: Option<Version>,
    fields: usize,
}

impl Parser {
    /// A parser for a new connection.
    #[must_use]
    pub fn new(limits: RequestLimits) -> Self {
        Self {
            head_max: usize::try_from(limits.head).unwrap_or(usize::MAX),
            target_max: limits.target,
            fields_max: limits.fields,
            state: State::Head,
            partial: Vec::new(),
            progress: Progress::default(),
            blank: 0,
            heads: 0,
        }
    }

    /// Takes the next piece from the input, or returns `None` when the input is used up. How the input is split into
    /// reads makes no difference, except that data may come in more pieces.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        match &mut self.state {
            _ if input.is_empty() => None,
            State::Head => self.head(input).map(Piece::Start),
            State::Length { left, is_last } => {
                let length = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let (data, rest) = input.split_at(length);
                *input = rest;
                *left -= length as u64;
                if *left == 0 {
                    self.state = after_request(*is_last);
                }
                Some(Piece::Data(data))
            }
            State::Chunked { chunks, is_last } => match chunks.next(input) {
                Ok(None) => None,
                Ok(Some(Chunk::Data(data))) => Some(Piece::Data(data)),
                Ok(Some(Chunk::End(trailers))) => {
                    self.state = after_request(*is_last);
                    Some(Piece::End(trailers))
                }
                Err(chunks::Malformed) => {
                    self.state = State::Over(End::Malformed);
                    Some(Piece::Malformed)
                }
            },
            State::Over(_) => {
                *input = &[];
                None
            }
        }
    }

    /// Refuses a head that does not arrive in time. Returns `None` if no head has begun.
    pub fn time_out(&mut self) -> Option<Start> {
        if !self.has_begun_head() {
            return None;
        }
        let head = mem::take(&mut self.partial);
        Some(self.refuse(&head, Refusal::new(408, "the request head took longer than --head-timeout allows")))
    }

    /// What the client must send next, and how many heads it has sent.
    #[must_use]
    pub fn awaited(&self) -> (Awaited, u64) {
        let awaited = match &self.state {
            State::Head if !self.has_begun_head() && self.heads > 0 => Awaited::NextRequest,
            State::Head => Awaited::Head,
            State::Length { .. } | State::Chunked { .. } => Awaited::Body,
            State::Over(_) => Awaited::Nothing,
        };
        (awaited, self.heads)
    }

    /// Whether the client may be in the middle of sending something.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        match self.state {
            State::Head => self.has_begun_head(),
            State::Length { .. } | State::Chunked { .. } => true,
            State::Over(end) => end != End::Last,
        }
    }

    /// Whether nothing of the next request has arrived.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Head) && self.partial.is_empty() && self.blank == 0
    }

    /// Why reading stopped, or `None` while it continues.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        match self.state {
            State::Over(end) => Some(end),
            _ => None,
        }
    }

    /// Bytes missing from the body: 0 if it is complete, and `None` if unknown.
    #[must_use]
    pub fn body_left(&self) -> Option<u64> {
        match self.state {
            State::Length { left, .. } => Some(left),
            State::Chunked { .. } => None,
            State::Head | State::Over(_) => Some(0),
        }
    }

    /// Whether a head has begun.
    #[must_use]
    pub fn has_begun_head(&self) -> bool {
        // A carriage return alone is half of an empty line.
        matches!(self.state, State::Head) && !matches!(&*self.partial, b"" | b"\r")
    }

    /// Parses a head. Most arrive whole and are copied once. Others are collected until they are complete.
    fn head(&mut self, input: &mut &[u8]) -> Option<Start> {
        if let Err(refusal) = self.skip_blank_lines(input) {
            return Some(self.refuse(&[], refusal));
        }
        if input.is_empty() {
            return None;
        }
        let mut partial = mem::take(&mut self.partial);
        let is_whole = partial.is_empty();
        if !is_whole {
            partial.extend_from_slice(input);
        }
        let bytes = if is_whole { *input } else { &partial };
        match self.progress.advance(bytes, self.fields_max) {
            Ok(Some(end)) if end <= self.head_max => {
                let head = RequestHead::new(Bytes::copy_from_slice(&bytes[..end]));
                *input = &input[input.len() - (bytes.len() - end)..];
                if partial.capacity() <= KEPT_MAX {
                    partial.clear();
                    self.partial = partial;
                }
                Some(self.start(head))
            }
            Ok(None) if bytes.len() <= self.head_max => {
                if is_whole {
                    partial.extend_from_slice(input);
                }
                self.partial = partial;
                *input = &[];
                None
            }
            refused => {
                let (status, why) = match refused {
                    _ if RequestHead::new(Bytes::copy_from_slice(bytes)).target().len() > self.target_max => {
                        (414, "the request target is too long".into())
                    }
                    Err(HeadError::TooManyFields) => (431, "the request has too many header lines".into()),
                    Err(HeadError::Malformed(why)) => match foreign::name(bytes) {
                        Some(name) => (400, name.into()),
                        None => (400, format!("the request head is malformed: {why}").into()),
                    },
                    Ok(_) => (431, "the request head is too large".into()),
                };
                Some(self.refuse(bytes, Refusal::Invalid { status, why }))
            }
        }
    }

    /// Skips empty lines before a request line; they are not part of it (RFC 9112 section 2.2, rule T13).
    fn skip_blank_lines(&mut self, input: &mut &[u8]) -> Result<(), Refusal> {
        loop {
            let (is_half, rest) = match (&*self.partial, *input) {
                (b"", [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..]) => (false, rest),
                // The other half may come with the next read.
                (b"", [b'\r']) => (true, &[][..]),
                (b"\r", [b'\n', rest @ ..]) => (false, rest),
                _ => return Ok(()),
            };
            self.blank += input.len() - rest.len();
            *input = rest;
            self.partial.clear();
            if is_half {
                self.partial.push(b'\r');
                return Ok(());
            }
            if self.blank > self.head_max {
                return Err(Refusal::new(431, "the request head is too large"));
            }
        }
    }

    /// Starts a request whose head is complete and well-formed.
    fn start(&mut self, head: RequestHead) -> Start {
        let version = self.progress.version.unwrap_or(Version::Http11);
        self.next_head();
        let mut fields = FramingFields::default();
        let (mut closes, mut keeps, mut expects_continue, mut takes_trailers) = (false, false, false, false);
        for (name, value) in head.fields() {
            fields.add(name, value);
            if name.eq_ignore_ascii_case(b"connection") {
                for option in field::elements(value) {
                    closes |= option.eq_ignore_ascii_case(b"close");
                    keeps |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if name.eq_ignore_ascii_case(b"expect") {
                expects_continue |= field::elements(value).any(request::is_continue);
            } else if name.eq_ignore_ascii_case(b"te") {
                takes_trailers |= field::elements(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            }
        }
        let is_last = closes || fields.is_ambiguous() || version == Version::Http10 && !keeps;
        let framing = match fields.framing(version) {
            Ok(framing) => framing,
            Err(refusal) => {
                self.state = State::Over(End::Refused);
                return Start::refused(head, refusal);
            }
        };
        self.state = match framing {
            Framing::Length(0) => after_request(is_last),
            Framing::Length(left) => State::Length { left, is_last },
            Framing::Chunked => State::Chunked { chunks: Box::new(Chunks::new()), is_last },
        };
        Start {
            head,
            framing,
            expects_continue: expects_continue && version == Version::Http11,
            takes_trailers: takes_trailers && version == Version::Http11,
            is_last,
            refusal: None,
        }
    }

    fn refuse(&mut self, bytes: &[u8], refusal: Refusal) -> Start {
        self.next_head();
        self.partial = Vec::new();
        self.state = State::Over(End::Refused);
        let end = bytes.len().min(REFUSED_MAX);
        Start::refused(RequestHead::new(Bytes::copy_from_slice(&bytes[..end])), refusal)
    }

    fn next_head(&mut self) {
        self.heads += 1;
        self.progress = Progress::default();
        self.blank = 0;
    }
}

/// The state after a complete request.
fn after_request(is_last: bool) -> State {
    if is_last { State::Over(End::Last) } else { State::Head }
}

impl Start {
    fn refused(head: RequestHead, refusal: Refusal) -> Self {
        Self {
            head,
            framing: Framing::Length(0),
            expects_continue: false,
            takes_trailers: false,
            is_last: true,
            refusal: Some(refusal),
        }
    }
}

/// Why an incomplete head is refused.
enum HeadError {
    Malformed(&'static str),
    TooManyFields,
}

impl Progress {
    /// Checks the lines completed by the latest input. Returns the length of the head, including the empty line, once
    /// it is complete.
    fn advance(&mut self, bytes: &[u8], fields_max: usize) -> Result<Option<usize>, HeadError> {
        while let Some(length) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let end = self.seen + length;
            let line = &bytes[self.line..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (self.line, self.seen) = (end + 1, end + 1);
            if self.version.is_none() {
                self.version = Some(line::check_request_line(line).map_err(HeadError::Malformed)?);
            } else if line.is_empty() {
                return Ok(Some(end + 1));
            } else {
                line::check_field(line).map_err(HeadError::Malformed)?;
                self.fields += 1;
                if self.fields > fields_max {
                    return Err(HeadError::TooManyFields);
                }
            }
        }
        // A client of another protocol, such as TLS, may send nothing more before it gets a response.
        if !bytes[self.seen..].iter().all(|byte| line::may_be_in_line(*byte)) {
            return Err(HeadError::Malformed("it contains a control character"));
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a stream in pieces of this size. Returns one line per request.
    fn parse_in(stream: &str, size: usize) -> Vec<String> {
        let (mut parser, mut seen) = (Parser::new(RequestLimits::DEFAULT), Vec::<String>::new());
        for mut piece in stream.as_bytes().chunks(size) {
            while let Some(piece) = parser.next(&mut piece) {
                match (piece, seen.last_mut()) {
                    (Piece::Start(Start { head, refusal: None, .. }), _) => {
                        seen.push(head.target().escape_ascii().to_string() + " ")
                    }
                    (Piece::Start(Start { refusal: Some(refusal), .. }), _) => seen.push(refusal.status().to_string()),
                    (Piece::Data(data), Some(last)) => last.push_str(&data.escape_ascii().to_string()),
                    (Piece::End(trailers), Some(last)) => last.push_str(&format!(" +{}", trailers.escape_ascii())),
                    (Piece::Malformed, Some(last)) => last.push_str(" malformed"),
                    (_, None) => panic!("body without a head"),
                }
            }
        }
        seen
    }

    /// Parses a stream in pieces of every size.
    fn parse(stream: &str) -> Vec<String> {
        let whole = parse_in(stream, stream.len());
        for size in 1..stream.len() {
            assert_eq!(parse_in(stream, size), whole, "in pieces of {size}: {stream:?}");
        }
        whole
    }

    #[test]
    fn heads_are_found_between_bodies_of_every_framing() {
        let stream = "POST /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET / \r\n\r\
                      \nGET /2 HTTP/1.1\n\nPOST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                      5;a=\"b\"\r\n\r\n\r\n\n\r\n0A\r\n0123456789\r\n0\r\nT: u\r\n\r\nGET /4 HTTP/1.1\r\n\r\n";
        assert_eq!(parse(stream), ["/1 GET / \\r\\n\\r", "/2 ", "/3 \\r\\n\\r\\n\\n0123456789 +T: u\\r\\n", "/4 "]);
    }

    #[test]
    fn i6_nothing_after_a_broken_body_is_a_request() {
        for end in ["0\r\n\n", "0\n\r\n", "0\r\nX: y\n\r\n", "x\r\n", "5 \r\nhello\r\n0\r\n\r\n"] {
            let head = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
            assert_eq!(parse(&format!("{head}{end}GET /b HTTP/1.1\r\n\r\n")), ["/a  malformed"], "{end:?}");
        }
    }

    #[test]
    fn k1_k7_k8_nothing_after_the_last_request_is_a_request() {
        let get = "GET /b HTTP/1.1\r\n\r\n";
        for (fields, seen) in [
            ("HTTP/1.1\r\nConnection: foo, CLOSE\r\n\r\n", "/a "),
            ("HTTP/1.0\r\n\r\n", "/a "),
            ("HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "/a  +"),
            ("HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n", "400"),
            ("HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 03\r\n\r\n", "400"),
            ("HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n", "413"),
            ("HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", "400"),
            ("HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501"),
            ("HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", "400"),
            ("HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
            ("HTTP/1.1\r\nA : b\r\n\r\n", "400"),
            ("HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "400"),
            ("HTTP/2.0\r\n\r\n", "400"),
        ] {
            assert_eq!(parse(&format!("GET /a {fields}{get}")), [seen], "{fields:?}");
        }
        let kept = format!("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n{get}");
        assert_eq!(parse(&kept), ["/a ", "/b "]);
    }

    #[test]
    fn t11_a_target_may_contain_every_visible_character_except_angle_brackets() {
        for target in ["/?q={\"a\":1}", "/\"`{|}^[]\\?`", "/\u{e9}?\u{e9}", "/#<>"] {
            let seen = parse(&format!("GET {target} HTTP/1.1\r\n\r\n"));
            assert_eq!(seen, [target.as_bytes().escape_ascii().to_string() + " "], "{target}");
        }
        for target in ["/<", "/?>", "/\x7f", "/\t", ""] {
            assert_eq!(parse(&format!("GET {target} HTTP/1.1\r\n\r\n")), ["400"], "{target:?}");
        }
    }

    #[test]
    fn t12_heads_are_bounded_in_bytes_and_in_lines() {
        let fields = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(parse_in(&fields(100), 1000), ["/ "]);
        assert_eq!(parse_in(&fields(101), 1000), ["431"]);
        let long = |length| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(length));
        assert_eq!(parse_in(&long((32 << 10) - 23), 1000), ["/ "]);
        assert_eq!(parse_in(&long((32 << 10) - 22), 1000), ["431"]);
        assert_eq!(parse_in(&"a".repeat(40 << 10), 1000), ["431"], "without any line end");
        assert_eq!(parse_in(&"\r\n".repeat(20 << 10), 1000), ["431"], "nothing but empty lines");
        assert_eq!(parse_in(&format!("GET /{}", "a".repeat(40 << 10)), 1000), ["414"]);
    }

    #[test]
    fn t13_empty_lines_before_a_head_are_not_part_of_it() {
        assert_eq!(parse("\r\n\nGET /a HTTP/1.1\r\n\r\n\n\r\nGET /b HTTP/1.1\r\n\r\n"), ["/a ", "/b "]);
        assert_eq!(parse("\r\rGET /a HTTP/1.1\r\n\r\n"), ["400"]);
    }

    #[test]
    fn other_protocols_are_refused_before_a_line_end() {
        assert_eq!(parse_in("\u{16}\u{3}\u{1}\u{2}", 1), ["400"]);
    }

    #[test]
    fn a_body_is_not_kept() {
        let mut parser = Parser::new(RequestLimits::DEFAULT);
        let mut head = &b"POST / HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n"[..];
        assert!(matches!(parser.next(&mut head), Some(Piece::Start(_))));
        for _ in 0..1024 {
            assert!(matches!(parser.next(&mut &[b'x'; 1024][..]), Some(Piece::Data(data)) if data.len() == 1024));
        }
        assert_eq!((parser.body_left(), parser.partial.capacity()), (Some((1 << 30) - (1 << 20)), 0));
    }

    #[test]
    fn a_head_that_does_not_arrive_in_time_is_refused_if_it_has_begun() {
        let mut parser = Parser::new(RequestLimits::DEFAULT);
        assert!(parser.time_out().is_none());
        assert!(parser.next(&mut &b"\r"[..]).is_none());
        assert!(parser.time_out().is_none(), "an empty line is not a head");
        assert!(parser.next(&mut &b"\nGET / HT"[..]).is_none());
        assert_eq!(parser.awaited(), (Awaited::Head, 0));
        let refusal = parser.time_out().and_then(|start| start.refusal).expect("it has begun");
        assert_eq!((refusal.status(), parser.awaited()), (408, (Awaited::Nothing, 1)));
        assert!(parser.next(&mut &b"TP/1.1\r\n\r\n"[..]).is_none());
    }
}
