//! Decodes the chunked coding (RFC 9112 section 7.1) strictly.
//!
//! Every line must end in CRLF, and there is only one way to read each byte.

use super::line;

/// Bytes of chunk extensions allowed in one body. We ignore their meaning.
const EXTENSIONS_MAX: usize = 16 << 10;

/// Digits allowed in a chunk's size, including leading zeros: enough for 64 bits.
const DIGITS_MAX: u8 = 16;

/// Trailers allowed in one body, in bytes and in lines. hyper accepts no more than 16 KiB and 100.
const TRAILERS_MAX: usize = 15 << 10;
const TRAILER_LINES_MAX: usize = 100;

/// What the next byte of a body belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The size of a chunk.
    Size {
        digits: u8,
        size: u64,
    },
    /// White space after a size, which only an extension may follow.
    Gap {
        size: u64,
    },
    /// The extensions after a size.
    Extension {
        size: u64,
    },
    /// The line feed after a size.
    SizeEnd {
        size: u64,
    },
    /// The data of a chunk.
    Data {
        left: u64,
    },
    /// The CRLF after a chunk, and its line feed.
    DataEnd,
    DataEndLf,
    /// The start of a line after the last chunk, the rest of it, and its line feed.
    TrailerStart,
    Trailer,
    TrailerLf,
    /// The line feed that ends the body.
    EndLf,
}

/// Decodes one body.
#[derive(Debug)]
pub(crate) struct Chunks {
    place: Place,
    extensions: usize,
    /// The trailer lines so far, each with its CRLF.
    trailers: Vec<u8>,
    /// Where the current trailer line starts, and how many are complete.
    line: usize,
    lines: usize,
}

/// A piece of a decoded body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk<'a> {
    /// Bytes of the content.
    Data(&'a [u8]),
    /// The end, with the trailer lines.
    End(Vec<u8>),
}

/// The framing is broken (rule I6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Chunks {
    pub(crate) fn new() -> Self {
        let place = Place::Size { digits: 0, size: 0 };
        Self { place, extensions: 0, trailers: Vec::new(), line: 0, lines: 0 }
    }

    /// Takes the next piece from the input, or returns `None` when more input is needed.
    ///
    /// # Errors
    ///
    /// A byte violates the grammar. Must not be called again after an error, or after the end.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Chunk<'a>>, Malformed> {
        while let [byte, rest @ ..] = *input {
            if let Place::Data { left } = self.place {
                let length = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let (data, rest) = input.split_at(length);
                *input = rest;
                let left = left - length as u64;
                self.place = if left == 0 { Place::DataEnd } else { Place::Data { left } };
                return Ok(Some(Chunk::Data(data)));
            }
            *input = rest;
            self.place = match (self.place, *byte) {
                (Place::Size { digits: 1.., size }, b'\r') => Place::SizeEnd { size },
                (Place::Size { digits: 1.., size }, b';') => Place::Extension { size },
                (Place::Size { digits: 1.., size }, b' ' | b'\t') => self.gap(size)?,
                (Place::Size { digits, size }, byte) => {
                    let digit = (byte as char).to_digit(16).filter(|_| digits < DIGITS_MAX).ok_or(Malformed)?;
                    Place::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
                }
                (Place::Gap { size }, b' ' | b'\t') => self.gap(size)?,
                (Place::Gap { size }, b';') => Place::Extension { size },
                (Place::Extension { size }, b'\r') => Place::SizeEnd { size },
                (Place::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                    self.count_extension()?;
                    Place::Extension { size }
                }
                (Place::SizeEnd { size: 0 }, b'\n') => Place::TrailerStart,
                (Place::SizeEnd { size }, b'\n') => Place::Data { left: size },
                (Place::DataEnd, b'\r') => Place::DataEndLf,
                (Place::DataEndLf, b'\n') => Place::Size { digits: 0, size: 0 },
                (Place::TrailerStart, b'\r') => Place::EndLf,
                (Place::TrailerStart | Place::Trailer, byte) => self.trailer(byte)?,
                (Place::TrailerLf, b'\n') => self.trailer_end()?,
                (Place::EndLf, b'\n') => return Ok(Some(Chunk::End(std::mem::take(&mut self.trailers)))),
                _ => return Err(Malformed),
            };
        }
        Ok(None)
    }

    fn gap(&mut self, size: u64) -> Result<Place, Malformed> {
        self.count_extension()?;
        Ok(Place::Gap { size })
    }

    fn count_extension(&mut self) -> Result<(), Malformed> {
        self.extensions += 1;
        if self.extensions < EXTENSIONS_MAX { Ok(()) } else { Err(Malformed) }
    }

    fn trailer(&mut self, byte: u8) -> Result<Place, Malformed> {
        if self.trailers.len() >= TRAILERS_MAX {
            return Err(Malformed);
        }
        self.trailers.push(byte);
        match byte {
            b'\r' => Ok(Place::TrailerLf),
            _ if line::may_be_in_line(byte) => Ok(Place::Trailer),
            _ => Err(Malformed),
        }
    }

    fn trailer_end(&mut self) -> Result<Place, Malformed> {
        self.lines += 1;
        let line = &self.trailers[self.line..self.trailers.len() - 1];
        if self.lines > TRAILER_LINES_MAX || line::check_field(line).is_err() {
            return Err(Malformed);
        }
        self.trailers.push(b'\n');
        self.line = self.trailers.len();
        Ok(Place::TrailerStart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes a body in pieces of every size. Returns its content and its trailers.
    fn decode(body: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
        let whole = decode_in(body, body.len().max(1));
        for size in 1..body.len() {
            assert_eq!(decode_in(body, size), whole, "in pieces of {size}: {:?}", body.escape_ascii().to_string());
        }
        whole
    }

    fn decode_in(body: &[u8], size: usize) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
        let (mut chunks, mut content) = (Chunks::new(), Vec::new());
        for mut piece in body.chunks(size) {
            while let Some(chunk) = chunks.next(&mut piece)? {
                match chunk {
                    Chunk::Data(data) => content.extend_from_slice(data),
                    Chunk::End(trailers) => return Ok((content, trailers)),
                }
            }
        }
        Err(Malformed)
    }

    #[test]
    fn i4_chunks_are_decoded() {
        for (body, content, trailers) in [
            ("0\r\n\r\n", "", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
            ("0a\r\n0123456789\r\n00\r\n\r\n", "0123456789", ""),
            ("2;a=\"b\"\r\nhe\r\n3 ;c\r\nllo\r\n0;d\r\nX: y\r\nZ:\r\n\r\n", "hello", "X: y\r\nZ:\r\n"),
            ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", ""),
        ] {
            let expected = (content.as_bytes().to_vec(), trailers.as_bytes().to_vec());
            assert_eq!(decode(body.as_bytes()), Ok(expected), "{body:?}");
        }
    }

    #[test]
    fn i6_violations_of_the_grammar_are_malformed() {
        for body in [
            &b"\r\n"[..],
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"5\t\r\nhello\r\n0\r\n\r\n",
            b"0 \r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5 5\r\nhello\r\n0\r\n\r\n",
            b"5;a\x01\r\nhello\r\n0\r\n\r\n",
            b"5;a\0\r\nhello\r\n0\r\n\r\n",
            b"5;a\x7f\r\nhello\r\n0\r\n\r\n",
            b"5;a\n\r\nhello\r\n0\r\n\r\n",
            b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\n\n",
            b"5\r\nhello\r\n0\n\r\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\nX: y\n\n",
            b"0\r\nX y\r\n\r\n",
            b"0\r\nX : y\r\n\r\n",
            b"0\r\n: y\r\n\r\n",
            b"0\r\nX: \x01\r\n\r\n",
            b"0\r\nX: y\r\r\n\r\n",
            b"0\r\n X: y\r\n\r\n",
            b"00000000000000000\r\n\r\n",
            b"FFFFFFFFFFFFFFFFF\r\n",
            b"-1\r\n",
            b"0x1\r\n",
        ] {
            assert_eq!(decode(body), Err(Malformed), "{:?}", body.escape_ascii().to_string());
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extensions = |count| format!("0;{}\r\n\r\n", "a".repeat(count)).into_bytes();
        assert!(decode_in(&extensions(EXTENSIONS_MAX - 1), 1000).is_ok());
        assert_eq!(decode_in(&extensions(EXTENSIONS_MAX), 1000), Err(Malformed));
        let white_space = format!("0{};\r\n\r\n", " ".repeat(EXTENSIONS_MAX));
        assert_eq!(decode_in(white_space.as_bytes(), 1000), Err(Malformed));
        let trailers = |lines, length| format!("0\r\n{}\r\n", format!("{}: \r\n", "a".repeat(length)).repeat(lines));
        assert!(decode_in(trailers(TRAILER_LINES_MAX, 100).as_bytes(), 1000).is_ok());
        assert_eq!(decode_in(trailers(TRAILER_LINES_MAX + 1, 100).as_bytes(), 1000), Err(Malformed));
        assert_eq!(decode_in(trailers(1, TRAILERS_MAX).as_bytes(), 1000), Err(Malformed));
    }
}
