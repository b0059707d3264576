//! Reads responses from a connection, and checks them to the last byte.

use httparse::Status;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::exercise::Expected;

/// The longest head, and the size of a read of a body.
const BUFFER: usize = 64 << 10;

/// What follows a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The connection accepts another request.
    GoesOn,
    /// The end of the connection.
    Closes,
}

/// The responses of one connection.
pub(super) struct Answers<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The range of `buffer` with bytes that have arrived and were not processed yet.
    start: usize,
    end: usize,
}

/// How the end of a body is known.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

impl<R: AsyncRead + Unpin> Answers<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; BUFFER], start: 0, end: 0 }
    }

    /// Reads one response to its end.
    ///
    /// # Errors
    ///
    /// What is wrong with the response.
    pub(super) async fn next(&mut self, expected: &Expected) -> Result<Next, String> {
        let (framing, next) = self.head().await?;
        let mut body = Body { expected, seen: 0 };
        match framing {
            Framing::Length(length) => self.part(length, &mut body).await?,
            Framing::Chunked => loop {
                let size = self.chunk_size().await?;
                self.part(size, &mut body).await?;
                self.line_end().await?;
                if size == 0 {
                    break;
                }
            },
            Framing::Close => {
                while self.start < self.end || self.fill().await.is_ok() {
                    body.take(&self.buffer[self.start..self.end])?;
                    self.start = self.end;
                }
            }
        }
        body.end()?;
        Ok(next)
    }

    async fn head(&mut self) -> Result<(Framing, Next), String> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut fields);
            let parsed = head.parse(&self.buffer[self.start..self.end]).map_err(|error| format!("head: {error}"))?;
            let Status::Complete(length) = parsed else {
                self.fill().await?;
                continue;
            };
            if head.code != Some(200) {
                let text = String::from_utf8_lossy(&self.buffer[self.start..self.end]);
                return Err(text.lines().next().unwrap_or_default().to_owned());
            }
            let field = |name: &str| {
                let value = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?.value;
                str::from_utf8(value).ok()
            };
            let length_of_body = field("content-length").and_then(|length| length.parse().ok());
            let closes =
                head.version == Some(0) || field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            let framing = match (field("transfer-encoding"), length_of_body) {
                (Some(_), _) => Framing::Chunked,
                (None, Some(length)) => Framing::Length(length),
                (None, None) => Framing::Close,
            };
            let closes = closes || matches!(framing, Framing::Close);
            self.start += length;
            return Ok((framing, if closes { Next::Closes } else { Next::GoesOn }));
        }
    }

    async fn part(&mut self, mut length: usize, body: &mut Body<'_>) -> Result<(), String> {
        while length > 0 {
            if self.start == self.end {
                self.fill().await?;
            }
            let taken = length.min(self.end - self.start);
            body.take(&self.buffer[self.start..self.start + taken])?;
            self.start += taken;
            length -= taken;
        }
        Ok(())
    }

    async fn chunk_size(&mut self) -> Result<usize, String> {
        loop {
            match httparse::parse_chunk_size(&self.buffer[self.start..self.end]) {
                Ok(Status::Complete((length, size))) => {
                    self.start += length;
                    return usize::try_from(size).map_err(|error| error.to_string());
                }
                Ok(Status::Partial) => self.fill().await?,
                Err(_) => return Err("a chunk size is not a number".into()),
            }
        }
    }

    /// Reads the end of a chunk, or of the last one, without trailers.
    async fn line_end(&mut self) -> Result<(), String> {
        while self.end - self.start < 2 {
            self.fill().await?;
        }
        let is_there = self.buffer[self.start..].starts_with(b"\r\n");
        self.start += 2;
        if is_there { Ok(()) } else { Err("a chunk does not end after its size".into()) }
    }

    /// Reads more, at least one byte.
    async fn fill(&mut self) -> Result<(), String> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.reader.read(&mut self.buffer[self.end..]).await {
            Ok(0) => Err("the connection has ended".into()),
            Ok(read) => {
                self.end += read;
                Ok(())
            }
            Err(error) => Err(format!("read: {error}")),
        }
    }
}

/// A body that is being compared with the expected one.
struct Body<'a> {
    expected: &'a Expected,
    seen: usize,
}

impl Body<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let is_right = match self.expected {
            Expected::Exactly(whole) => whole.get(self.seen..).is_some_and(|rest| rest.starts_with(bytes)),
            Expected::Length(_) | Expected::Something => true,
        };
        self.seen += bytes.len();
        if is_right { Ok(()) } else { Err(format!("a wrong body: {:?}", String::from_utf8_lossy(bytes))) }
    }

    fn end(&self) -> Result<(), String> {
        let is_whole = match self.expected {
            Expected::Exactly(whole) => self.seen == whole.len(),
            Expected::Length(count) => self.seen == *count,
            Expected::Something => self.seen > 0,
        };
        if is_whole { Ok(()) } else { Err(format!("a body of {} bytes", self.seen)) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Reads one response from these bytes, followed by the end of the connection.
    fn read(text: &str, expected: &Expected) -> Result<Next, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers can be built");
        runtime.block_on(Answers::new(Cursor::new(text.as_bytes().to_vec())).next(expected))
    }

    #[test]
    fn a_response_is_correct_to_the_last_byte_or_a_failure() {
        let expected = Expected::Exactly("abcd".into());
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd";
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        for answer in [length, chunks] {
            assert_eq!(read(answer, &expected), Ok(Next::GoesOn));
            assert!((0..answer.len()).all(|end| read(&answer[..end], &expected).is_err()));
            assert!(read(answer, &Expected::Exactly("abcx".into())).is_err());
            assert!(read(answer, &Expected::Length(5)).is_err());
            assert!(read(&answer.replace("200", "503"), &expected).is_err_and(|error| error.contains("503")));
        }
        let close = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcd";
        let old = "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nabcd";
        assert_eq!([close, old].map(|answer| read(answer, &expected)), [Ok(Next::Closes), Ok(Next::Closes)]);
    }
}
