//! The request body.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    io::{self, BufRead, ErrorKind, Read},
    mem,
};

use crate::{Value, environ, gateway::Gateway};

/// The most that the host returns from one read.
const CHUNK: u32 = 64 << 10;

/// The request body, read as it arrives: `wsgi.input` of PEP 3333.
///
/// Reads stop at the end of the body, and a request without a body reads as empty. A body that was truncated always
/// ends in an error, never in what looks like its end. The [`io::Error`] contains a [`ReadError`].
///
/// ```
/// use std::io::BufRead;
/// # use wasmserve_guest::Environ;
///
/// let environ = Environ::for_test([]).with_input("one\ntwo");
/// let lines: Result<Vec<String>, _> = environ.input().lines().collect();
/// assert_eq!(lines?, ["one", "two"]);
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Input {
    gateway: Gateway,
    buffer: Vec<u8>,
    /// How many bytes of the buffer were read.
    used: usize,
}

impl Input {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway, buffer: Vec::new(), used: 0 }
    }

    /// Reads the rest of the body, up to `limit` bytes.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = || Environ::for_test([]).with_input("12345");
    /// assert_eq!(environ().input().read_all(5)?, b"12345");
    /// assert!(environ().input().read_all(4).is_err());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails with [`ErrorKind::FileTooLarge`] if the rest is longer than `limit`, and with a [`ReadError`] if the body
    /// is not complete.
    pub fn read_all(self, limit: usize) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        for chunk in self.chunks() {
            let chunk = chunk?;
            if chunk.len() > limit - body.len() {
                let message = format!("the body is longer than {limit} bytes");
                return Err(io::Error::new(ErrorKind::FileTooLarge, message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Iterates over the rest of the body in chunks of up to 64 KiB, as they arrive. This is the fastest way to read,
    /// because nothing is copied. The iterator can be the [`Body`](crate::Body) of a response.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, Response, testing::call};
    /// /// Sends the body back in upper case, without holding all of it in memory.
    /// fn app(environ: Environ) -> Response {
    ///     let chunks = environ.input().chunks().map(|chunk| chunk.map(|chunk| chunk.to_ascii_uppercase()));
    ///     Response::new(200, [("Content-Type", "text/plain")], chunks)
    /// }
    /// assert_eq!(call(app, Environ::for_test([]).with_input("loud")).body, b"LOUD");
    /// ```
    pub fn chunks(self) -> Chunks {
        Chunks(self)
    }

    /// Returns the trailer fields of a chunked body. There are none until the body was read to its end.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let mut input = Environ::for_test([]).input();
    /// std::io::copy(&mut input, &mut std::io::sink())?;
    /// // Test requests have none.
    /// assert_eq!(input.trailers(), []);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn trailers(&self) -> Vec<(String, Value)> {
        environ::fields(self.gateway.trailers())
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[self.used..]
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() {
            // Read only what fits, so that nothing stays in the buffer.
            let max = into.len().try_into().unwrap_or(CHUNK).min(CHUNK);
            self.buffer = self.gateway.read(max)?;
            self.used = 0;
        }
        let length = self.buffered().read(into)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffered().is_empty() {
            self.buffer = self.gateway.read(CHUNK)?;
            self.used = 0;
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, length: usize) {
        self.used += length;
    }
}

/// An iterator over the chunks of a request body; see [`Input::chunks`].
///
/// ```
/// # use wasmserve_guest::Environ;
/// let environ = Environ::for_test([]).with_input("a body");
/// let mut length = 0;
/// for chunk in environ.input().chunks() {
///     length += chunk?.len();
/// }
/// assert_eq!(length, 6);
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Chunks(Input);

impl Iterator for Chunks {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.0.fill_buf() {
            return Some(Err(error));
        }
        let mut chunk = mem::take(&mut self.0.buffer);
        chunk.drain(..mem::take(&mut self.0.used));
        (!chunk.is_empty()).then_some(Ok(chunk))
    }
}

/// Why a request body cannot be read any further. Inside an [`io::Error`], find it with
/// [`get_ref`](io::Error::get_ref).
///
/// ```
/// # use wasmserve_guest::{Environ, ReadError};
/// let environ = Environ::for_test([]).with_input("half").with_read_error(ReadError::Disconnected);
/// let error = environ.input().read_all(100).unwrap_err();
/// let reason = error.get_ref().and_then(|reason| reason.downcast_ref());
/// assert_eq!(reason, Some(&ReadError::Disconnected));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The client disconnected before the body was complete.
    Disconnected,
    /// The framing of the body is invalid.
    Malformed,
    /// The body is longer than the host allows.
    TooLarge,
    /// The client sent nothing for longer than the timeout of the host.
    TimedOut,
}

impl Display for ReadError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "the client went away before the request body was complete",
            Self::Malformed => "the framing of the request body is invalid",
            Self::TooLarge => "the request body is longer than the host allows",
            Self::TimedOut => "timed out waiting for the request body",
        })
    }
}

impl Error for ReadError {}

/// Whether a body is longer than the limit that was passed for reading it, and not than that of the host.
pub(crate) fn is_beyond_limit(error: &io::Error) -> bool {
    let is_from_host = error.get_ref().is_some_and(|source| source.is::<ReadError>());
    error.kind() == ErrorKind::FileTooLarge && !is_from_host
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match error {
            ReadError::Disconnected => ErrorKind::UnexpectedEof,
            ReadError::Malformed => ErrorKind::InvalidData,
            ReadError::TooLarge => ErrorKind::FileTooLarge,
            ReadError::TimedOut => ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Environ;

    fn input(body: &[u8]) -> Input {
        Environ::for_test([]).with_input(body).input()
    }

    #[test]
    fn lines_chunks_and_bytes_are_read_from_one_stream() {
        let mut input = input(b"line\nabc, and the rest");
        let mut line = String::new();
        input.read_line(&mut line).unwrap();
        let mut three = [0; 3];
        input.read_exact(&mut three).unwrap();
        assert_eq!((&*line, &three), ("line\n", b"abc"));
        assert_eq!(input.read_all(100).unwrap(), b", and the rest");
    }

    #[test]
    fn i5_a_truncated_body_is_an_error() {
        let environ = Environ::for_test([]).with_input("half").with_read_error(ReadError::Disconnected);
        let error = io::read_to_string(environ.input()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let source = error.get_ref().and_then(|error| error.downcast_ref());
        assert_eq!(source, Some(&ReadError::Disconnected));
    }

    #[test]
    fn read_all_enforces_its_limit() {
        assert_eq!(input(b"12345").read_all(5).unwrap(), b"12345");
        let error = input(b"123456").read_all(5).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn i3_a_request_without_a_body_reads_as_empty() {
        assert_eq!(Environ::for_test([]).input().read_all(0).unwrap(), b"");
    }
}
