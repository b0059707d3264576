//! An HTTP/2 client (prior knowledge) that sends exactly the frames that it is given, well-formed or not.
//!
//! It acknowledges SETTINGS, answers PING unless it is asked not to, and returns to the windows what it has read. It
//! panics if a server breaks the framing of RFC 9113.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use httlib_hpack::Decoder;

use crate::{
    TIMEOUT,
    client::{self, Close, Head},
};

/// The bytes that begin a connection.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113 section 6).
pub mod kind {
    #![expect(missing_docs, reason = "the names are from the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Error codes (RFC 9113 section 7).
pub mod code {
    #![expect(missing_docs, reason = "the names are from the RFC")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// The flag that ends a stream in DATA and HEADERS, and marks an acknowledgement in SETTINGS and PING.
pub const END_STREAM: u8 = 1;
const ACK: u8 = 1;

/// The flag of HEADERS and CONTINUATION that ends a field block.
pub const END_HEADERS: u8 = 4;

const HEAD: usize = 9;

/// The longest frame that a server accepts by default.
const FRAME_MAX: usize = 16 << 10;

/// The bytes of a frame.
///
/// # Panics
///
/// The payload is longer than a frame can be.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("the length fits into 24 bits").to_be_bytes();
    assert_eq!(length[0], 0, "the length fits into 24 bits");
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field block of literals that are never added to a table (RFC 7541 section 6.2.2).
#[must_use]
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            put_length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn put_length(block: &mut Vec<u8>, length: usize) {
    const PREFIX: usize = 0x7f;
    if length < PREFIX {
        block.push(length.to_le_bytes()[0]);
        return;
    }
    block.push(0x7f);
    let mut left = length - PREFIX;
    while left >= 0x80 {
        block.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    block.push(left.to_le_bytes()[0]);
}

/// HEADERS, with as many CONTINUATION frames as the block needs.
#[must_use]
pub fn headers(stream: u32, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let block = block(fields);
    let mut parts = block.chunks(FRAME_MAX).peekable();
    let mut bytes = Vec::new();
    let mut next = (kind::HEADERS, flags);
    while let Some(part) = parts.next() {
        let end = if parts.peek().is_none() { END_HEADERS } else { 0 };
        bytes.extend(frame(next.0, next.1 | end, stream, part));
        next = (kind::CONTINUATION, 0);
    }
    bytes
}

/// The fields of an ordinary request.
#[must_use]
pub fn fields<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]
}

/// A connection.
pub struct Http2 {
    reader: BufReader<TcpStream>,
    decoder: Decoder<'static>,
    /// The stream of the next request.
    next: u32,
    streams: BTreeMap<u32, Stream>,
    go_away: Option<GoAway>,
    answers_pings: bool,
    /// How the connection has ended, if it has.
    close: Option<Close>,
}

/// What was received of a stream.
#[derive(Default)]
struct Stream {
    head: Option<Head>,
    pieces: VecDeque<Vec<u8>>,
    trailers: Vec<(String, String)>,
    end: Option<End>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Complete.
    Whole,
    /// With a RST_STREAM that has this code.
    Reset(u32),
    /// With its connection.
    Cut,
}

/// The last GOAWAY of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// The last stream that it has processed.
    pub last: u32,
    /// The error code.
    pub code: u32,
    /// The debug data.
    pub why: String,
}

impl Http2 {
    /// Connects, and sends the preface and SETTINGS.
    ///
    /// # Panics
    ///
    /// Nothing listens there.
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        let mut client = Self::silent(addr);
        client.send([PREFACE, &frame(kind::SETTINGS, 0, 0, b"")].concat());
        client
    }

    /// Connects and sends nothing.
    ///
    /// # Panics
    ///
    /// Nothing listens there.
    #[must_use]
    pub fn silent(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        stream.set_write_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        // Two writes must be sent as two segments.
        stream.set_nodelay(true).expect("TCP sockets have this option");
        Self {
            reader: BufReader::with_capacity(64 << 10, stream),
            decoder: Decoder::default(),
            next: 1,
            streams: BTreeMap::new(),
            go_away: None,
            answers_pings: true,
            close: None,
        }
    }

    /// Stops answering PING.
    pub fn ignore_pings(&mut self) {
        self.answers_pings = false;
    }

    /// Sends bytes.
    ///
    /// # Panics
    ///
    /// The server does not read them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server reads what is sent");
    }

    /// Sends bytes to a server that need not read them.
    ///
    /// # Errors
    ///
    /// The server has closed the connection.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    /// The number of the next stream.
    pub fn stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Begins a request whose body follows, and returns its stream.
    ///
    /// # Panics
    ///
    /// The server does not read it.
    pub fn begin(&mut self, fields: &[(&str, &str)]) -> u32 {
        let stream = self.stream();
        self.send(headers(stream, fields, 0));
        stream
    }

    /// Sends a request without a body, and returns its stream.
    ///
    /// # Panics
    ///
    /// The server does not read it.
    pub fn ask(&mut self, fields: &[(&str, &str)]) -> u32 {
        let stream = self.stream();
        self.send(headers(stream, fields, END_STREAM));
        stream
    }

    /// Sends a GET, and reads the response.
    ///
    /// # Panics
    ///
    /// There is no response.
    pub fn get(&mut self, path: &str) -> Response {
        let stream = self.ask(&fields("GET", path));
        self.response(stream)
    }

    /// Sends a part of a body.
    ///
    /// # Panics
    ///
    /// The server does not read it.
    pub fn data(&mut self, stream: u32, bytes: impl AsRef<[u8]>) {
        self.send(frame(kind::DATA, 0, stream, bytes));
    }

    /// Sends the last part of a body.
    ///
    /// # Panics
    ///
    /// The server does not read it.
    pub fn last(&mut self, stream: u32, bytes: impl AsRef<[u8]>) {
        self.send(frame(kind::DATA, END_STREAM, stream, bytes));
    }

    /// Resets the stream of a request.
    ///
    /// # Panics
    ///
    /// The server does not read it.
    pub fn reset(&mut self, stream: u32) {
        self.send(frame(kind::RST_STREAM, 0, stream, code::CANCEL.to_be_bytes()));
    }

    /// The head of a response; `None` if the stream ends without one.
    #[must_use]
    pub fn head(&mut self, stream: u32) -> Option<Head> {
        self.wait(stream, |stream| stream.head.is_some() || stream.end.is_some()).head.clone()
    }

    /// Waits for the next piece of a body; `None` at its end.
    pub fn piece(&mut self, stream: u32) -> Option<Vec<u8>> {
        self.wait(stream, |stream| !stream.pieces.is_empty() || stream.end.is_some()).pieces.pop_front()
    }

    /// Waits for the end of a stream, and returns how it ended.
    ///
    /// # Panics
    ///
    /// It does not end.
    #[must_use]
    pub fn end(&mut self, stream: u32) -> End {
        self.wait(stream, |stream| stream.end.is_some()).end.expect("the stream has ended")
    }

    /// Waits for a response.
    ///
    /// # Panics
    ///
    /// There is no response.
    #[must_use]
    pub fn response(&mut self, stream: u32) -> Response {
        let end = self.end(stream);
        let Stream { head, pieces, trailers, .. } = self.streams.remove(&stream).unwrap_or_default();
        let head = head.unwrap_or_else(|| panic!("stream {stream} has no response: {end:?}, {:?}", self.go_away));
        Response { head, body: pieces.into_iter().flatten().collect(), end, trailers }
    }

    /// Waits for the server's GOAWAY.
    ///
    /// # Panics
    ///
    /// The server does not send one.
    #[must_use]
    pub fn go_away(&mut self) -> GoAway {
        while self.go_away.is_none() && self.close.is_none() {
            self.step();
        }
        self.go_away.clone().expect("there is a GOAWAY")
    }

    /// Waits until the server closes the connection. Returns the GOAWAY before that, if there was one, and whether the
    /// close was orderly.
    ///
    /// # Panics
    ///
    /// The server does not close it.
    #[must_use]
    pub fn closed(&mut self) -> (Option<GoAway>, Close) {
        while self.close.is_none() {
            self.step();
        }
        (self.go_away.clone(), self.close.expect("the connection has ended"))
    }

    /// Waits until the server has answered a PING, and so has processed everything that was sent before it.
    ///
    /// # Panics
    ///
    /// The server closes the connection instead.
    pub fn settle(&mut self) {
        assert!(self.is_answered(), "the connection is open");
    }

    /// Sends a PING, and waits until the server has answered it or has closed the connection. Returns whether it was
    /// answered.
    #[must_use]
    pub fn is_answered(&mut self) -> bool {
        const MARK: &[u8; 8] = b"settled?";
        if self.try_send(frame(kind::PING, 0, 0, MARK)).is_err() {
            _ = self.closed();
            return false;
        }
        loop {
            let Some(frame) = self.step() else { return false };
            if (frame.kind, frame.flags, &*frame.payload) == (kind::PING, ACK, &MARK[..]) {
                return true;
            }
        }
    }

    fn wait(&mut self, stream: u32, is_enough: impl Fn(&Stream) -> bool) -> &mut Stream {
        while !is_enough(self.streams.entry(stream).or_default()) {
            self.step();
        }
        self.streams.entry(stream).or_default()
    }

    /// Reads a frame and reacts to it. Returns `None` if the connection is closed.
    fn step(&mut self) -> Option<Frame> {
        let frame = match self.read() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                self.end_all(Close::Orderly);
                return None;
            }
            Err(error) if is_broken(&error) => {
                self.end_all(Close::Reset);
                return None;
            }
            Err(error) => panic!("cannot read: {error}"),
        };
        let is_last = frame.flags & END_STREAM != 0;
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("the field has four bytes"));
        match frame.kind {
            kind::DATA => {
                assert_ne!(frame.flags & 8, 8, "unexpected padding");
                let stream = self.streams.entry(frame.stream).or_default();
                assert!(stream.head.is_some() && stream.end.is_none(), "unexpected DATA: {}", frame.stream);
                if !frame.payload.is_empty() {
                    stream.pieces.push_back(frame.payload.clone());
                    // The server may already have closed its side.
                    let read = u32::try_from(frame.payload.len()).expect("a frame is short").to_be_bytes();
                    for stream in [0, frame.stream] {
                        _ = self.try_send(self::frame(kind::WINDOW_UPDATE, 0, stream, read));
                    }
                }
            }
            kind::HEADERS => {
                assert_eq!(frame.flags & END_HEADERS, END_HEADERS, "a short head fits into one frame");
                let mut fields = Vec::new();
                self.decoder.decode(&mut frame.payload.clone(), &mut fields).expect("the fields can be decoded");
                let fields = fields.iter().map(|(name, value, _)| (text(name), text(value)));
                let stream = self.streams.entry(frame.stream).or_default();
                match stream.head {
                    None => stream.begin(fields.collect()),
                    Some(_) => {
                        assert!(
                            is_last && stream.trailers.is_empty(),
                            "a response has one head, and ends with its trailers"
                        );
                        stream.trailers = fields.collect();
                    }
                }
            }
            kind::RST_STREAM => {
                let stream = self.streams.entry(frame.stream).or_default();
                // A complete response stays complete: the server only does not want the rest of the request.
                stream.end.get_or_insert(End::Reset(number(&frame.payload)));
            }
            kind::SETTINGS if frame.flags & ACK == 0 => _ = self.try_send(self::frame(kind::SETTINGS, ACK, 0, b"")),
            kind::PING if frame.flags & ACK == 0 && self.answers_pings => {
                _ = self.try_send(self::frame(kind::PING, ACK, 0, &frame.payload));
            }
            kind::GOAWAY => {
                let why = text(&frame.payload[8..]);
                self.go_away =
                    Some(GoAway { last: number(&frame.payload[..4]), code: number(&frame.payload[4..8]), why });
            }
            kind::SETTINGS | kind::PING | kind::WINDOW_UPDATE => {}
            other => panic!("unexpected frame type {other}"),
        }
        if is_last && matches!(frame.kind, kind::DATA | kind::HEADERS) {
            self.streams.entry(frame.stream).or_default().end = Some(End::Whole);
        }
        Some(frame)
    }

    fn end_all(&mut self, close: Close) {
        self.close = Some(close);
        for stream in self.streams.values_mut() {
            stream.end.get_or_insert(End::Cut);
        }
    }

    /// The next frame, or `None` at the end of the connection.
    fn read(&mut self) -> io::Result<Option<Frame>> {
        let mut head = [0; HEAD];
        if let Err(error) = self.reader.read_exact(&mut head) {
            return if error.kind() == ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
        }
        let [a, b, c, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        assert!(length <= FRAME_MAX, "a frame is longer than the default limit: {length}");
        let mut payload = vec![0; length];
        self.reader.read_exact(&mut payload)?;
        Ok(Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload }))
    }
}

impl Stream {
    fn begin(&mut self, fields: Vec<(String, String)>) {
        let (pseudo, fields): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(name, _)| name.starts_with(':'));
        let [(name, status)] = &pseudo[..] else { panic!("`:status` is the only pseudo-header: {pseudo:?}") };
        assert_eq!(name, ":status");
        let has_capitals = |(name, _): &(String, String)| name.bytes().any(|byte| byte.is_ascii_uppercase());
        assert!(!fields.iter().any(has_capitals), "names are in lower case: {fields:?}");
        let status = status.parse().expect("a status is a number");
        self.head = Some(Head { version: "HTTP/2".into(), status, reason: String::new(), fields });
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// Decodes bytes as Latin-1.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
    )
}

/// A response, and how its stream ended.
pub type Response = client::Response<End>;
