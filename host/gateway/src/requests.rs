//! The requests on an HTTP/1 connection: what arrived, and what hyper reads instead.
//!
//! hyper never sees a byte of a client's head or framing. For each head that our parser accepts or refuses, hyper reads
//! a new one that contains only what it needs: whether a response has a body, how the request body is framed, and
//! whether the connection stays open. So hyper and our parser cannot disagree about the stream.

use std::{
    collections::VecDeque,
    fmt,
    io::{Cursor, Write as _},
};

use crate::{
    request::{RequestLimits, Version},
    stream::{Awaited, End, Framing, Parser, Piece, Start},
};

/// The requests received on a connection.
#[derive(Debug)]
pub struct Requests {
    parser: Parser,
    /// The requests that hyper has not read yet. hyper does not read more while it has something to parse, so one read
    /// bounds their number.
    starts: VecDeque<Start>,
    /// How the body of the last request is framed.
    framing: Framing,
    /// Whether hyper has been made aware of the head that has begun.
    is_announced: bool,
}

/// A part of the input, which belongs to one request.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The bytes, as they were sent.
    pub bytes: &'a [u8],
    /// Whether they complete, or refuse, the head of a request.
    pub is_start: bool,
    /// Whether the request is complete after them.
    pub is_end: bool,
    /// Whether it is, and no request follows on the connection.
    pub is_last: bool,
}

impl Requests {
    /// The state of a new connection.
    #[must_use]
    pub fn new(limits: RequestLimits) -> Self {
        let (parser, starts) = (Parser::new(limits), VecDeque::new());
        Self { parser, starts, framing: Framing::Length(0), is_announced: false }
    }

    /// Parses input, and writes what hyper should read instead. Shows each part of the input to `seen`.
    pub fn feed(&mut self, mut input: &[u8], mut write: impl FnMut(&[u8]), mut seen: impl FnMut(Part<'_>)) {
        loop {
            let before = input;
            let piece = self.parser.next(&mut input);
            seen(Part {
                bytes: &before[..before.len() - input.len()],
                is_start: matches!(piece, Some(Piece::Start(_))),
                is_end: self.parser.is_between_requests() || self.parser.end() == Some(End::Last),
                is_last: self.parser.end() == Some(End::Last),
            });
            let Some(piece) = piece else { break };
            match piece {
                Piece::Start(start) => self.begin(start, &mut write),
                Piece::Data(data) if self.framing == Framing::Chunked => {
                    write_number(format_args!("{:x}", data.len()), &mut write);
                    [b"\r\n", data, b"\r\n"].into_iter().for_each(&mut write);
                }
                Piece::Data(data) => write(data),
                Piece::End(trailers) => [b"0\r\n", &*trailers, b"\r\n"].into_iter().for_each(&mut write),
                // The parser reports this through `end`, and no other piece follows.
                Piece::Malformed => {}
            }
        }
        // hyper skips an empty line before a head. Sent here, it keeps hyper from treating the connection as unused and
        // closing it when the server stops.
        if self.parser.has_begun_head() && !self.is_announced {
            self.is_announced = true;
            write(b"\r\n");
        }
    }

    /// Refuses a head that did not arrive in time. Returns whether one had begun.
    pub fn time_out(&mut self, write: impl FnMut(&[u8])) -> bool {
        self.parser.time_out().map(|start| self.begin(start, write)).is_some()
    }

    /// Takes the request whose head hyper has just read.
    pub fn take(&mut self) -> Option<Start> {
        self.starts.pop_front()
    }

    /// What the client must send next, and how many heads it has sent.
    pub fn awaited(&self) -> (Awaited, u64) {
        self.parser.awaited()
    }

    /// Whether the client has nothing to send before it gets its response.
    pub fn is_between_requests(&self) -> bool {
        self.starts.is_empty() && !self.parser.is_mid_message()
    }

    /// Why reading stopped, or `None` while it continues.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.parser.end()
    }

    /// Whether the framing of the last taken request's body is broken.
    pub fn is_body_broken(&self) -> bool {
        self.starts.is_empty() && self.end() == Some(End::Malformed)
    }

    /// The bytes missing from the last taken request's body; `None` if unknown.
    pub fn body_left(&self) -> Option<u64> {
        // If another request has begun, the last taken one is complete.
        if self.starts.is_empty() { self.parser.body_left() } else { Some(0) }
    }

    fn begin(&mut self, start: Start, write: impl FnMut(&[u8])) {
        self.framing = start.framing;
        self.is_announced = false;
        write_head(&start, write);
        self.starts.push_back(start);
    }
}

/// Whether hyper treats the request as HEAD.
pub fn is_head(start: &Start) -> bool {
    start.head.method() == b"HEAD"
}

fn write_head(start: &Start, mut write: impl FnMut(&[u8])) {
    let version = start.head.version();
    write(if is_head(start) { b"HEAD / " } else { b"GET / " });
    write(if version == Version::Http10 { b"HTTP/1.0\r\n" } else { b"HTTP/1.1\r\n" });
    match start.framing {
        Framing::Length(0) => {}
        Framing::Length(length) => {
            write(b"content-length: ");
            write_number(format_args!("{length}"), &mut write);
            write(b"\r\n");
        }
        Framing::Chunked => write(b"transfer-encoding: chunked\r\n"),
    }
    if start.expects_continue {
        write(b"expect: 100-continue\r\n");
    }
    if start.takes_trailers {
        write(b"te: trailers\r\n");
    }
    match (version, start.is_last) {
        (Version::Http10, false) => write(b"connection: keep-alive\r\n"),
        (Version::Http10, true) | (_, false) => {}
        (_, true) => write(b"connection: close\r\n"),
    }
    write(b"\r\n");
}

fn write_number(number: fmt::Arguments<'_>, write: &mut impl FnMut(&[u8])) {
    let mut digits = Cursor::new([0; 20]);
    digits.write_fmt(number).unwrap_or_else(|_| unreachable!("64 bits have at most 20 digits"));
    let length = usize::try_from(digits.position()).unwrap_or(0);
    write(&digits.get_ref()[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What hyper reads for these pieces of input.
    fn written(pieces: &[&str]) -> String {
        let (mut requests, mut written) = (Requests::new(RequestLimits::DEFAULT), Vec::new());
        for piece in pieces {
            requests.feed(piece.as_bytes(), |bytes| written.extend_from_slice(bytes), |_| {});
        }
        String::from_utf8(written).expect("what we write is ASCII")
    }

    #[test]
    fn hyper_reads_a_head_with_only_what_it_needs() {
        for (head, read) in [
            ("GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: b\r\nConnection: upgrade\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("HEAD /a HTTP/1.1\nHost: a\n\n", "HEAD / HTTP/1.1\r\n\r\n"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("GET /a HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"),
            ("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"),
            ("GET /a HTTP/1.1\r\nTE: gzip;q=0.5, Trailers\r\nTE: x\r\n\r\n", "GET / HTTP/1.1\r\nte: trailers\r\n\r\n"),
            ("GET /a HTTP/1.0\r\nTE: trailers\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"),
            ("GET /a HTTP/1.1\r\nConnection: b, Close\r\n\r\n", "GET / HTTP/1.1\r\nconnection: close\r\n\r\n"),
            ("nonsense\r\n\r\n", "GET / HTTP/1.1\r\nconnection: close\r\n\r\n"),
            (
                "POST /a HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 007\r\n\r\n",
                "GET / HTTP/1.1\r\ncontent-length: 7\r\nexpect: 100-continue\r\n\r\n",
            ),
            (
                "POST /a HTTP/1.1\r\nTransfer-Encoding: \tChunked\r\n\r\n0010;a=b\r\n0123456789abcdef\r\n00\r\nA: b\r\n\r\n",
                "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n",
            ),
        ] {
            assert_eq!(written(&[head]), read, "{head:?}");
        }
    }

    #[test]
    fn hyper_learns_only_once_that_a_head_has_begun() {
        assert_eq!(written(&["\r\n", "\r"]), "");
        assert_eq!(written(&["G", "ET / HT"]), "\r\n");
        assert_eq!(written(&["G", "ET / HTTP/1.1\r\n\r\nG"]), "\r\nGET / HTTP/1.1\r\n\r\n\r\n");
    }
}
