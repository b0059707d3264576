//! Keeps the exact octets of each request head while hyper parses the same stream.
//!
//! hyper tells how the head that it has just parsed frames its body; from this the tee knows where the next head begins.

use std::mem;

use bytes::Bytes;

/// How the body after a head is framed, according to the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length, which may be nothing.
    Length(u64),
    /// In chunks (RFC 9112 section 7.1).
    Chunked,
}

/// Sees all octets that come in on one connection.
#[derive(Debug, Default)]
pub(super) struct Tee {
    /// What has come in and was not told apart yet: the beginning of a head, or all after a head that nobody has taken.
    held: Vec<u8>,
    /// What is left of the body of the last head.
    body: Body,
    /// How many heads were taken.
    taken: u64,
}

/// What a client has to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A head, of which something may be there.
    Head,
    /// Nothing, or another request.
    NextRequest,
    /// More of a body.
    Body,
}

/// How much room is kept for the next head: more than most have.
const KEPT_MAX: usize = 1 << 10;

/// What is kept of a head that was not accepted: more than a target may have.
const UNACCEPTED_MAX: usize = 16 << 10;

#[derive(Debug, Default)]
enum Body {
    #[default]
    None,
    Length(u64),
    Chunked(Chunks),
}

impl Tee {
    /// Takes note of octets as they come in.
    pub(super) fn feed(&mut self, octets: &[u8]) {
        let rest = self.skip_body(octets);
        self.held.extend_from_slice(rest);
    }

    /// The head that the parser has just accepted; what follows is skipped as its framing says.
    ///
    /// `None` if there is no whole head, which would mean that parser and tee read different things.
    pub(super) fn take(&mut self, framing: Framing) -> Option<Bytes> {
        // Empty lines before a request line are not part of it (RFC 9112 section 2.2).
        let blank = self.held.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
        let end = blank + end_of_head(&self.held[blank..])?;
        let mut held = mem::take(&mut self.held);
        let head = Bytes::copy_from_slice(&held[blank..end]);
        self.taken += 1;
        self.body = match framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunks::default()),
        };
        self.feed(&held[end..]);
        // Most often nothing follows, and the next head finds room.
        if self.held.is_empty() && held.capacity() <= KEPT_MAX {
            held.clear();
            self.held = held;
        }
        Some(head)
    }

    /// What we wait for, and after how many heads.
    pub(super) fn awaited(&self) -> (Awaited, u64) {
        let awaited = match (&self.body, self.held.is_empty()) {
            (Body::None | Body::Length(0), true) if self.taken > 0 => Awaited::NextRequest,
            (Body::None | Body::Length(0), _) => Awaited::Head,
            (Body::Length(_) | Body::Chunked(_), _) => Awaited::Body,
        };
        (awaited, self.taken)
    }

    /// Whether the client has nothing more to send before it gets its answer.
    #[must_use]
    pub(super) fn is_between_requests(&self) -> bool {
        self.held.is_empty() && matches!(self.body, Body::None | Body::Length(0))
    }

    /// How much of the last head's body has not come in yet, as far as its framing tells.
    #[must_use]
    pub(super) fn body_left(&self) -> u64 {
        match self.body {
            Body::Length(left) => left,
            Body::None | Body::Chunked(_) => 0,
        }
    }

    /// What is held of a head that the parser did not accept, as far as it goes.
    #[must_use]
    pub(super) fn unaccepted(&self) -> Bytes {
        let held = self.held.trim_ascii_start();
        let end = end_of_head(held).unwrap_or(held.len());
        Bytes::copy_from_slice(&held[..end.min(UNACCEPTED_MAX)])
    }

    fn skip_body<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        let rest = match &mut self.body {
            Body::None => return octets,
            Body::Length(left) => {
                let skipped = octets.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= skipped as u64;
                if *left > 0 {
                    return &[];
                }
                &octets[skipped..]
            }
            Body::Chunked(chunks) => match chunks.skip(octets) {
                Some(rest) => rest,
                None => return &[],
            },
        };
        self.body = Body::None;
        rest
    }
}

/// The length of the head at the beginning, its empty line included.
fn end_of_head(octets: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(line) = octets[from..].iter().position(|octet| *octet == b'\n') {
        from += line + 1;
        match &octets[from..] {
            [b'\n', ..] => return Some(from + 1),
            [b'\r', b'\n', ..] => return Some(from + 2),
            _ => {}
        }
    }
    None
}

/// Where we are in a body in chunks. Only valid bodies matter: after a malformed one the connection is closed.
#[derive(Debug)]
enum Chunks {
    /// In the hexadecimal size of a chunk.
    Size(u64),
    /// In the rest of the line after it.
    Extension(u64),
    /// In the chunk itself and the CRLF behind it.
    Data(u64),
    /// In the lines after the last chunk: whether this line is empty so far.
    Trailer { is_empty: bool },
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl Chunks {
    /// Skips to the end of the body: what is behind it, or `None` if it is not there yet.
    fn skip<'a>(&mut self, mut octets: &'a [u8]) -> Option<&'a [u8]> {
        while let [octet, rest @ ..] = octets {
            *self = match (&*self, octet) {
                (Self::Data(left), _) => {
                    let skipped = octets.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    octets = &octets[skipped..];
                    *self = if skipped as u64 == *left { Self::Size(0) } else { Self::Data(left - skipped as u64) };
                    continue;
                }
                (Self::Size(0) | Self::Extension(0), b'\n') => Self::Trailer { is_empty: true },
                (Self::Size(size) | Self::Extension(size), b'\n') => Self::Data(size.saturating_add(2)),
                (Self::Size(size), octet) => match (*octet as char).to_digit(16) {
                    Some(digit) => Self::Size(size.saturating_mul(16).saturating_add(digit.into())),
                    None => Self::Extension(*size),
                },
                (Self::Extension(size), _) => Self::Extension(*size),
                (Self::Trailer { is_empty: true }, b'\n') => return Some(rest),
                (Self::Trailer { .. }, b'\n') => Self::Trailer { is_empty: true },
                (Self::Trailer { is_empty }, octet) => Self::Trailer { is_empty: *is_empty && *octet == b'\r' },
            };
            octets = rest;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a stream in pieces of every size and takes each head as soon as it is whole.
    fn heads(stream: &str, framings: &[Framing]) {
        let expected: Vec<&str> = stream.split('|').step_by(2).collect();
        let octets = stream.replace('|', "").into_bytes();
        for size in 1..=octets.len() {
            let mut tee = Tee::default();
            let mut taken = Vec::new();
            let mut framings = framings.iter();
            for piece in octets.chunks(size) {
                tee.feed(piece);
                while tee.held.len() > 2 && end_of_head(tee.held.trim_ascii_start()).is_some() {
                    let head = tee.take(*framings.next().expect("no more heads than framings")).expect("it is whole");
                    taken.push(String::from_utf8(head.to_vec()).expect("ASCII"));
                }
            }
            assert_eq!(taken, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn heads_are_found_between_bodies_of_every_framing() {
        heads(
            "POST /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\n|GET / \r\n\r\n|GET /2 HTTP/1.1\n\n||POST /3 HTTP/1.1\r\nA: b\r\n\r\n|\
             5;a=\"b\"\r\n\r\n\r\n\n\r\n0A\r\n0123456789\r\n0\r\nT: u\r\n\r\n|GET /4 HTTP/1.1\r\n\r\n",
            &[Framing::Length(9), Framing::Length(0), Framing::Chunked, Framing::Length(0)],
        );
    }

    #[test]
    fn t13_empty_lines_before_a_head_are_not_part_of_it() {
        let mut tee = Tee::default();
        tee.feed(b"\r\n\nGET / HTTP/1.1\r\n\r\n");
        assert_eq!(tee.take(Framing::Length(0)).as_deref(), Some(&b"GET / HTTP/1.1\r\n\r\n"[..]));
        assert_eq!(tee.take(Framing::Length(0)), None);
    }

    #[test]
    fn a_body_is_not_kept() {
        let mut tee = Tee::default();
        tee.feed(b"POST / HTTP/1.1\r\n\r\n");
        tee.take(Framing::Length(1 << 30)).expect("it is whole");
        for _ in 0..1024 {
            tee.feed(&[b'x'; 1024]);
        }
        assert!(tee.held.is_empty() && tee.held.capacity() < 4096);
    }
}
