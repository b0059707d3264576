//! The responses on an HTTP/1 connection: where each begins and ends in what is written, and what its body is.
//!
//! What a server writes is well-formed, so this finds ends and does not check. What it cannot follow is an error, after
//! which nothing is certain about the rest of the connection.

use crate::{
    field,
    stream::chunks::{Chunk, Chunks},
};

/// The largest head that is followed, in bytes. The heads of handlers have a limit that is far below.
const HEAD_MAX: usize = 1 << 20;

/// Follows the responses that are written to a connection.
#[derive(Debug, Default)]
pub struct Responses {
    state: State,
    /// The beginning of an incomplete head.
    head: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    /// A head, and the interim ones before it.
    #[default]
    Head,
    /// A body with this many bytes missing, at least one.
    Length(u64),
    Chunked(Box<Chunks>),
    /// A body that ends with the connection.
    UntilClose,
}

/// A piece of a response.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// An interim response: another head follows.
    Interim,
    /// The head. If [`Responses::is_between`] then, there is no body.
    Head,
    /// Bytes of the body, without framing.
    Data(&'a [u8]),
    /// The end of a chunked body, with its trailer lines, each of which ends in CRLF.
    End(Vec<u8>),
}

/// The bytes are not a response.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost;

impl Responses {
    /// Takes the next piece from what is written, or returns `None` when it is used up. `answers_head` is whether the
    /// response at hand is that to a HEAD, which has no body.
    ///
    /// # Errors
    ///
    /// The bytes are not a response. Everything after them is unknown.
    pub fn next<'a>(&mut self, written: &mut &'a [u8], answers_head: bool) -> Result<Option<Piece<'a>>, Lost> {
        match &mut self.state {
            _ if written.is_empty() => Ok(None),
            State::Head => self.head(written, answers_head),
            State::Length(left) => {
                let length = written.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let (data, rest) = written.split_at(length);
                *written = rest;
                *left -= length as u64;
                if *left == 0 {
                    self.state = State::Head;
                }
                Ok(Some(Piece::Data(data)))
            }
            State::Chunked(chunks) => match chunks.next(written) {
                Ok(None) => Ok(None),
                Ok(Some(Chunk::Data(data))) => Ok(Some(Piece::Data(data))),
                Ok(Some(Chunk::End(trailers))) => {
                    self.state = State::Head;
                    Ok(Some(Piece::End(trailers)))
                }
                Err(_) => Err(Lost),
            },
            State::UntilClose => Ok(Some(Piece::Data(std::mem::take(written)))),
        }
    }

    /// Whether the last response is complete, and nothing of another one has been written.
    #[must_use]
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Head) && self.head.is_empty()
    }

    /// Whether the response at hand is complete if the connection closes now.
    #[must_use]
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    fn head<'a>(&mut self, written: &mut &'a [u8], answers_head: bool) -> Result<Option<Piece<'a>>, Lost> {
        const END: &[u8] = b"\r\n\r\n";
        // Most heads are written as a whole.
        let whole = if self.head.is_empty() { memchr::memmem::find(written, END) } else { None };
        let (length, head) = if let Some(at) = whole {
            (at + END.len(), &written[..at + END.len()])
        } else {
            let before = self.head.len();
            self.head.extend_from_slice(written);
            let from = before.saturating_sub(END.len() - 1);
            match memchr::memmem::find(&self.head[from..], END) {
                Some(at) => {
                    let end = from + at + END.len();
                    self.head.truncate(end);
                    (end - before, &self.head[..])
                }
                None if self.head.len() > HEAD_MAX => return Err(Lost),
                None => {
                    *written = &[];
                    return Ok(None);
                }
            }
        };
        let (piece, state) = after_head(head, answers_head)?;
        self.state = state;
        self.head = Vec::new();
        *written = &written[length..];
        Ok(Some(piece))
    }
}

/// What follows a head (RFC 9112 section 6.3).
fn after_head(head: &[u8], answers_head: bool) -> Result<(Piece<'static>, State), Lost> {
    let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).ok_or(Lost)?;
    let status: u16 = str::from_utf8(status).ok().and_then(|status| status.parse().ok()).ok_or(Lost)?;
    if (100..200).contains(&status) && status != 101 {
        return Ok((Piece::Interim, State::Head));
    }
    if answers_head || matches!(status, 204 | 304) {
        return Ok((Piece::Head, State::Head));
    }
    let mut state = State::UntilClose;
    for (name, value) in fields(head) {
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Ok((Piece::Head, State::Chunked(Box::new(Chunks::new()))));
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length: u64 = str::from_utf8(value).ok().and_then(|value| value.parse().ok()).ok_or(Lost)?;
            state = if length == 0 { State::Head } else { State::Length(length) };
        }
    }
    Ok((Piece::Head, state))
}

/// The fields of a response head, in order, with values without white space around them.
pub fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    lines.filter_map(|line| field::split(line.strip_suffix(b"\r").unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The responses in a stream: heads as `[status]`, data, ends as `.`, and `|` where one is complete.
    fn follow(stream: &[u8], size: usize, heads: &[bool]) -> String {
        let (mut responses, mut seen, mut number) = (Responses::default(), String::new(), 0);
        for mut written in stream.chunks(size) {
            while let Some(piece) = responses.next(&mut written, heads.get(number) == Some(&true)).expect("it is valid")
            {
                match piece {
                    Piece::Interim => seen.push('i'),
                    Piece::Head => seen.push('h'),
                    Piece::Data(data) => seen.push_str(&data.escape_ascii().to_string()),
                    Piece::End(trailers) => seen.push_str(&format!(".{}", trailers.escape_ascii())),
                }
                if responses.is_between() && !seen.ends_with('i') {
                    seen.push('|');
                    number += 1;
                }
            }
        }
        seen
    }

    #[test]
    fn responses_of_every_framing_are_found_in_pieces_of_every_size() {
        let stream = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
                       HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\
                       HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n\
                       HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n\
                       HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.0 200 \r\n\r\nx\r\n\r\ny";
        for size in 1..=stream.len() {
            let seen = follow(stream, size, &[false, true]);
            assert_eq!(seen, "ihabc|h|h|hde.T: u\\r\\n|h|hx\\r\\n\\r\\ny", "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_not_a_response_is_not_followed() {
        for stream in ["HTTP/2 200\r\n\r\n", "HTTP/1.1 x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] {
            assert_eq!(Responses::default().next(&mut stream.as_bytes(), false), Err(Lost), "{stream}");
        }
    }
}
