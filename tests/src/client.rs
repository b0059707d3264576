//! An HTTP/1 client that sends exactly the bytes that it is given, and checks everything that it receives.
//!
//! It panics if a server breaks the framing of RFC 9112, and distinguishes complete responses from truncated ones.

use std::{
    fmt,
    io::{self, BufRead as _, BufReader, ErrorKind, Read, Write},
    mem,
    net::{Shutdown, SocketAddr, TcpStream},
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use crate::TIMEOUT;

/// What was sent and received on a connection.
#[derive(Debug, Default)]
pub struct Tap {
    /// The bytes that the system has accepted for the server.
    pub sent: Vec<u8>,
    /// The bytes that were read.
    pub received: Vec<u8>,
    /// Whether the server's end of the connection was read, without a reset before it.
    pub is_at_end: bool,
    is_reset: bool,
}

/// A socket whose bytes may be kept.
struct Tapped {
    stream: TcpStream,
    tap: Option<Arc<Mutex<Tap>>>,
}

impl Tapped {
    fn keep(&self, keep: impl FnOnce(&mut Tap)) {
        if let Some(tap) = &self.tap {
            keep(&mut tap.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Read for Tapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer);
        let Ok(length) = read else {
            self.keep(|tap| tap.is_reset = true);
            return read;
        };
        self.keep(|tap| {
            tap.received.extend_from_slice(&buffer[..length]);
            tap.is_at_end |= length == 0 && !buffer.is_empty() && !tap.is_reset;
        });
        Ok(length)
    }
}

impl Write for Tapped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.stream.write(bytes)?;
        self.keep(|tap| tap.sent.extend_from_slice(&bytes[..length]));
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A connection.
pub struct Client {
    reader: BufReader<Tapped>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    ///
    /// Nothing listens there.
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        stream.set_write_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        // Two writes must be sent as two segments.
        stream.set_nodelay(true).expect("TCP sockets have this option");
        Self { reader: BufReader::with_capacity(64 << 10, Tapped { stream, tap: None }) }
    }

    /// Keeps everything that is sent and received from now on in `tap`.
    #[must_use]
    pub fn tapped(mut self, tap: &Arc<Mutex<Tap>>) -> Self {
        self.reader.get_mut().tap = Some(Arc::clone(tap));
        self
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

    /// Another handle to the same connection, to send while this one receives.
    ///
    /// # Panics
    ///
    /// The system has no more file descriptors.
    #[must_use]
    pub fn sender(&self) -> TcpStream {
        self.reader.get_ref().stream.try_clone().expect("the system has descriptors left")
    }

    /// Closes our side of the connection; responses still arrive.
    ///
    /// # Panics
    ///
    /// It fails for another reason than that the server has closed the connection already.
    pub fn end(&self) {
        match self.reader.get_ref().stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != ErrorKind::NotConnected => panic!("cannot close our side: {error}"),
            _ => {}
        }
    }

    /// Reads the next response, or the interim one (`100 Continue`).
    ///
    /// # Panics
    ///
    /// The server closes the connection without a response.
    #[must_use]
    pub fn response(&mut self) -> Response {
        self.try_response().expect("there is a response")
    }

    /// Reads the next response, or `None` if the server closes the connection before its first byte.
    #[must_use]
    pub fn try_response(&mut self) -> Option<Response> {
        let head = self.head()?;
        let mut body = self.body(&head);
        let bytes = body.by_ref().flatten().collect();
        let (end, trailers) = (body.end, mem::take(&mut body.trailers));
        Some(Response { head, body: bytes, end, trailers })
    }

    /// Reads the next response, to a HEAD request: its framing fields announce a body that does not follow.
    ///
    /// # Panics
    ///
    /// The server closes the connection without a response.
    #[must_use]
    pub fn response_to_head(&mut self) -> Head {
        self.head().expect("there is a response")
    }

    /// Reads the head of the next response, or `None` if the server closes the connection before its first byte. Skips
    /// `102 Processing`, with which the server checks whether the client is still there.
    ///
    /// # Panics
    ///
    /// The head is truncated or malformed.
    #[must_use]
    pub fn head(&mut self) -> Option<Head> {
        let head = self.any_head()?;
        if head.status == 102 { self.head() } else { Some(head) }
    }

    fn any_head(&mut self) -> Option<Head> {
        let line = self.line()?;
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("not a status line: {line:?}")).to_owned();
        let (version, status, reason) = (word(), word(), word());
        assert!(version == "HTTP/1.1" || version == "HTTP/1.0", "{line:?}");
        assert!(status.len() == 3, "{line:?}");
        let mut head = Head {
            version,
            status: status.parse().unwrap_or_else(|_| panic!("not a status: {line:?}")),
            reason,
            fields: Vec::new(),
        };
        loop {
            let line = self.line().expect("the head is complete");
            if line.is_empty() {
                return Some(head);
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a field: {line:?}"));
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert!(!name.is_empty() && name.bytes().all(is_token), "not a name: {line:?}");
            head.fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    /// The body after a head, piece by piece.
    ///
    /// # Panics
    ///
    /// The head frames its body in no way or in two.
    pub fn body(&mut self, head: &Head) -> Body<'_> {
        let lengths = head.values("content-length");
        let codings = head.values("transfer-encoding");
        let framing = match (&*lengths, &*codings) {
            _ if head.status < 200 || matches!(head.status, 204 | 304) => {
                assert!(codings.is_empty(), "{head:?}");
                Framing::Length(0)
            }
            ([length], []) => Framing::Length(length.parse().expect("the length is a number")),
            ([], ["chunked"]) => {
                assert_eq!(head.version, "HTTP/1.1");
                Framing::Chunks
            }
            ([], []) => {
                let closes = head.version == "HTTP/1.0" || head.field("connection") == Some("close");
                assert!(closes, "a body that ends with the connection is announced: {head:?}");
                Framing::Close
            }
            _ => panic!("no framing, or two of them: {head:?}"),
        };
        Body { client: self, framing, end: End::Cut, trailers: Vec::new(), is_reset: false }
    }

    /// Reads what else the server sends until it closes the connection, and whether the close was orderly. Orderly
    /// means that nothing was lost: a reset can destroy data that was sent before it.
    ///
    /// # Panics
    ///
    /// The server does not close the connection.
    pub fn rest(&mut self) -> (Vec<u8>, Close) {
        let mut rest = Vec::new();
        let close = match self.reader.read_to_end(&mut rest) {
            Ok(_) => Close::Orderly,
            Err(error) if is_broken(&error) => Close::Reset,
            Err(error) => panic!("the connection stays open: {error}"),
        };
        (rest, close)
    }

    /// Reads a line without its end; `None` if the server closes the connection within it. Bytes are decoded as
    /// Latin-1.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(_) => {}
            Err(error) if is_broken(&error) => return None,
            Err(error) => panic!("cannot read: {error}"),
        }
        let line: String = line.into_iter().map(char::from).collect();
        match line.strip_suffix("\r\n") {
            Some(line) => Some(line.to_owned()),
            None => {
                assert!(!line.ends_with('\n'), "a bare line feed: {line:?}");
                None
            }
        }
    }
}

fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}

/// How a server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// After everything that it has sent.
    Orderly,
    /// With a reset.
    Reset,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct Head {
    /// Such as `HTTP/1.1`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The reason phrase, decoded as Latin-1.
    pub reason: String,
    /// Names as received, and values decoded as Latin-1, in order.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// All values of a field.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| &**value).collect()
    }

    /// The value of a field.
    ///
    /// # Panics
    ///
    /// The field occurs more than once.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() <= 1, "`{name}` has several values: {values:?}");
        values.first().copied()
    }
}

/// A response.
pub struct Response<E = End> {
    /// Its head.
    pub head: Head,
    /// The bytes of its body.
    pub body: Vec<u8>,
    /// How its body ended. The type depends on the protocol.
    pub end: E,
    /// The fields after its body.
    pub trailers: Vec<(String, String)>,
}

impl<E> Response<E> {
    /// The body as text.
    ///
    /// # Panics
    ///
    /// The body is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is text")
    }
}

impl<E> Deref for Response<E> {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

impl<E: fmt::Debug> fmt::Debug for Response<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({:?}): {}", self.head, self.end, self.body.escape_ascii())
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing announced.
    Whole,
    /// With the connection, which was its only framing.
    Closed,
    /// Before the end that its framing announced.
    Cut,
}

enum Framing {
    Length(usize),
    Chunks,
    Close,
    /// The body has ended.
    Done,
}

/// A body that is being received: chunk by chunk if it is chunked.
pub struct Body<'a> {
    client: &'a mut Client,
    framing: Framing,
    end: End,
    trailers: Vec<(String, String)>,
    /// Whether the connection was reset. If so, a body that ends with its connection is incomplete.
    is_reset: bool,
}

impl Body<'_> {
    /// How it ended, once all of it was read.
    #[must_use]
    pub fn end(&self) -> End {
        self.end
    }

    /// Reads a piece of up to this many bytes. It is shorter if the connection ends, and then the body ends too.
    fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.client.reader.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if is_broken(&error) => {
                    self.is_reset = true;
                    break;
                }
                Err(error) => panic!("cannot read: {error}"),
            }
        }
        if filled < length {
            self.framing = Framing::Done;
        }
        bytes.truncate(filled);
        bytes
    }

    fn done(&mut self, end: End) {
        self.framing = Framing::Done;
        self.end = end;
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        let Some(line) = self.client.line() else {
            self.done(End::Cut);
            return None;
        };
        let is_size = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_size, "not a chunk size: {line:?}");
        let size = usize::from_str_radix(&line, 16).expect("the size is hexadecimal");
        if size == 0 {
            loop {
                let line = self.client.line()?;
                match line.split_once(": ") {
                    Some((name, value)) => self.trailers.push((name.to_owned(), value.to_owned())),
                    None => break assert_eq!(line, "", "a trailer has a name and a value"),
                }
            }
            self.done(End::Whole);
            return None;
        }
        let chunk = self.take(size);
        if chunk.len() == size {
            match self.client.line() {
                Some(line) => assert_eq!(line, "", "a chunk does not end after its size"),
                None => self.done(End::Cut),
            }
        }
        Some(chunk)
    }
}

/// The size of a read of a body that is not chunked.
const PIECE: usize = 64 << 10;

impl Iterator for Body<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let piece = match self.framing {
            Framing::Done => return None,
            Framing::Chunks => return self.chunk(),
            Framing::Length(0) => {
                self.done(End::Whole);
                return None;
            }
            Framing::Length(left) => {
                let length = left.min(PIECE);
                self.framing = Framing::Length(left - length);
                self.take(length)
            }
            Framing::Close => {
                let piece = self.take(PIECE);
                if piece.len() < PIECE {
                    self.done(if self.is_reset { End::Cut } else { End::Closed });
                }
                piece
            }
        };
        (!piece.is_empty()).then_some(piece)
    }
}

/// A response whose length was known when it began. Whether it was depends on time, where the host waits a moment for the
/// end of a body: a busy machine may need several attempts.
///
/// # Panics
///
/// None of the attempts has a length.
pub fn with_length(ask: impl Fn() -> Response) -> Response {
    let known = (0..100).map(|_| ask()).find(|response| response.field("content-length").is_some());
    known.expect("a short response has its length")
}
