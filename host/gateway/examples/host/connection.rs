//! The two directions of a connection.

use std::{
    io::{self, Read as _, Write as _},
    mem,
    net::TcpStream,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_LENGTH, response::Parts};
use http_body::{Body, Frame};
use wasmserve_gateway::{
    field,
    head::Reason,
    input::ReadError,
    request::RequestLimits,
    response::{self, Reader, ResponseRules, Writer},
    stream::{Parser, Piece, Start},
};

/// A connection with a client.
pub(super) struct Connection {
    client: TcpStream,
    incoming: Mutex<Incoming>,
}

/// What the client sends.
struct Incoming {
    parser: Parser,
    received: Vec<u8>,
    parsed: usize,
}

impl Connection {
    pub(super) fn new(client: TcpStream) -> Self {
        let parser = Parser::new(RequestLimits::DEFAULT);
        Self { client, incoming: Mutex::new(Incoming { parser, received: Vec::new(), parsed: 0 }) }
    }

    /// Waits for the next request, past what the last handler has not read. There is none if the client leaves, or has
    /// broken the framing.
    pub(super) fn next_request(&self) -> Option<Start> {
        loop {
            let start = self.next(|piece| match piece {
                Piece::Start(start) => Some(start),
                Piece::Data(_) | Piece::End(_) | Piece::Malformed => None,
            })?;
            if start.is_some() {
                return start;
            }
        }
    }

    /// Waits for the next piece, or returns `None` at the end.
    fn next<T>(&self, take: impl FnOnce(Piece<'_>) -> T) -> Option<T> {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        let Incoming { parser, received, parsed } = &mut *incoming;
        while parser.end().is_none() {
            let mut rest = &received[*parsed..];
            if let Some(piece) = parser.next(&mut rest) {
                let taken = take(piece);
                *parsed = received.len() - rest.len();
                return Some(taken);
            }
            received.resize(16 << 10, 0);
            let length = (&self.client).read(received).ok().filter(|length| *length > 0)?;
            received.truncate(length);
            *parsed = 0;
        }
        None
    }

    fn is_body_complete(&self) -> bool {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner).parser.body_left() == Some(0)
    }

    fn send(&self, parts: &[&[u8]]) -> io::Result<()> {
        (&self.client).write_all(&parts.concat())
    }
}

/// A request body that arrives while it is read.
pub(super) struct Arriving {
    connection: Arc<Connection>,
    expects_continue: bool,
}

impl Arriving {
    pub(super) fn new(connection: &Arc<Connection>, expects_continue: bool) -> Self {
        Self { connection: Arc::clone(connection), expects_continue }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        if mem::take(&mut self.expects_continue) {
            // If it fails, so does reading.
            _ = self.connection.send(&[b"HTTP/1.1 100 Continue\r\n\r\n"]);
        }
        if self.connection.is_body_complete() {
            return Poll::Ready(None);
        }
        let frame = self.connection.next(|piece| match piece {
            Piece::Data(data) => Ok(Frame::data(Bytes::copy_from_slice(data))),
            Piece::End(trailers) => Ok(Frame::trailers(fields(&trailers))),
            Piece::Start(_) | Piece::Malformed => Err(ReadError::Malformed),
        });
        Poll::Ready(Some(frame.unwrap_or(Err(ReadError::Disconnected))))
    }
}

fn fields(lines: &[u8]) -> HeaderMap {
    let lines = lines.split(|byte| *byte == b'\n').filter_map(|line| field::split(line.trim_ascii_end()));
    lines
        .filter_map(|(name, value)| Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?)))
        .collect()
}

/// A response that is sent as its handler writes it.
pub(super) struct Outgoing {
    connection: Arc<Connection>,
    rules: ResponseRules,
    has_chunks: bool,
    /// `None` when nothing more is sent.
    reader: Option<Reader>,
    has_begun: bool,
    is_chunked: bool,
    is_last: bool,
}

impl Outgoing {
    /// A response that has not begun, to a client that takes a body in chunks or does not.
    pub(super) fn new(
        connection: &Arc<Connection>,
        rules: ResponseRules,
        has_chunks: bool,
        is_last: bool,
    ) -> (Writer, Self) {
        let (writer, reader) = response::channel(rules);
        let (connection, reader) = (Arc::clone(connection), Some(reader));
        (writer, Self { connection, rules, has_chunks, reader, has_begun: false, is_chunked: false, is_last })
    }

    /// Another response instead, as this one has not begun.
    pub(super) fn anew(self) -> (Writer, Self) {
        Self::new(&self.connection, self.rules, self.has_chunks, self.is_last)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Sends what the handler has written.
    pub(super) fn send(&mut self) {
        let Some(mut reader) = self.reader.take() else { return };
        let mut context = Context::from_waker(Waker::noop());
        if !self.has_begun
            && let Poll::Ready(Some(head)) = reader.poll_head(&mut context)
            && self.begin(&head, reader.is_bodyless()).is_err()
        {
            return;
        }
        // If the client has left, the handler finds out by the missing reader.
        while self.has_begun {
            let sent = match reader.poll_chunk(&mut context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(chunk))) if self.is_chunked => {
                    self.connection.send(&[format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"])
                }
                Poll::Ready(Some(Ok(chunk))) => self.connection.send(&[&chunk]),
                Poll::Ready(Some(Err(_))) => {
                    self.is_last = true;
                    return;
                }
                Poll::Ready(None) if self.is_chunked => {
                    _ = self.connection.send(&[b"0\r\n\r\n"]);
                    return;
                }
                Poll::Ready(None) => return,
            };
            if sent.is_err() {
                self.is_last = true;
                return;
            }
        }
        self.reader = Some(reader);
    }

    /// Sends the rest of the response, whose writer is gone. Returns whether the connection stays open.
    pub(super) fn end(mut self) -> bool {
        self.send();
        !self.is_last
    }

    fn begin(&mut self, head: &Parts, is_bodyless: bool) -> io::Result<()> {
        self.has_begun = true;
        let has_length = is_bodyless || head.headers.contains_key(CONTENT_LENGTH);
        self.is_chunked = !has_length && self.has_chunks;
        self.is_last |= !has_length && !self.is_chunked;
        let usual = head.status.canonical_reason().unwrap_or_default().as_bytes();
        let reason = head.extensions.get().map_or(usual, |Reason(reason)| reason);
        let mut parts = vec![b"HTTP/1.1 ", head.status.as_str().as_bytes(), b" ", reason, b"\r\n"];
        for (name, value) in &head.headers {
            parts.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
        if self.is_chunked {
            parts.push(b"transfer-encoding: chunked\r\n");
        }
        if self.is_last {
            parts.push(b"connection: close\r\n");
        }
        parts.push(b"\r\n");
        self.connection.send(&parts)
    }
}
