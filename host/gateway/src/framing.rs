//! How the body behind a request head is framed (RFC 9112 section 6).

use crate::{refusal::Refusal, version::Version};

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes, possibly none.
    Length(u64),
    /// In chunks (RFC 9112 section 7.1).
    Chunked,
}

/// The largest `Content-Length` accepted. With one more bit, sums of lengths could overflow.
const LENGTH_MAX: u64 = u64::MAX >> 1;

/// The framing fields of one head.
#[derive(Clone, Debug, Default)]
pub(super) struct FramingFields<'a> {
    length: Option<&'a [u8]>,
    has_other_length: bool,
    codings: usize,
    /// Whether the last coding is `chunked`.
    is_chunked: bool,
}

impl<'a> FramingFields<'a> {
    /// Records a field if it concerns framing.
    pub(super) fn add(&mut self, name: &[u8], value: &'a [u8]) {
        if name.eq_ignore_ascii_case(b"content-length") {
            self.has_other_length |= self.length.is_some_and(|length| length != value);
            self.length.get_or_insert(value);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            for coding in value.split(|byte| *byte == b',') {
                // Empty elements count, unlike in other lists: parsers in front of us may read them differently.
                self.codings += 1;
                self.is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
        }
    }

    /// Whether there are both a length and a transfer coding. The coding wins, and the connection closes (rule K7).
    pub(super) fn is_ambiguous(&self) -> bool {
        self.length.is_some() && self.codings > 0
    }

    /// How the body ends.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with the status given by rules H5, K7 and K8. Nothing after such a head may be parsed as a
    /// request.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        let refuse = |status, why| Err(Refusal::new(status, why));
        let mut framing = Framing::Length(0);
        if let Some(digits) = self.length {
            // A length that does not fit into 64 bits does not parse and is refused too.
            let length = str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            let Some(length) = length.and_then(|digits| digits.parse().ok()).filter(|_| !self.has_other_length) else {
                return refuse(400, "the Content-Length of the request is not a single valid number");
            };
            if length > LENGTH_MAX {
                return Err(Refusal::BodyTooLarge);
            }
            framing = Framing::Length(length);
        }
        match self.codings {
            0 => Ok(framing),
            _ if version == Version::Http10 => refuse(400, "Transfer-Encoding is not part of HTTP/1.0"),
            // RFC 9112 section 6.3: the end of such a body cannot be found.
            _ if !self.is_chunked => refuse(400, "the last Transfer-Encoding of the request is not `chunked`"),
            1 => Ok(Framing::Chunked),
            _ => refuse(501, "the only Transfer-Encoding supported is a single `chunked`"),
        }
    }
}
