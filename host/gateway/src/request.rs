//! The head of a request, read from the exact bytes sent.
//!
//! The parser has accepted these bytes already. This module only splits them, so nothing can fail and nothing is
//! copied. [`RequestHead::check`] refuses what the parser accepts but a gateway must not.

use bytes::Bytes;

pub use crate::version::Version;
use crate::{Field, field, framing::FramingFields, refusal::Refusal};

/// The bytes of a request head: request line, fields and empty line.
#[derive(Clone, Debug)]
pub struct RequestHead {
    raw: Bytes,
}

/// Limits of a request head.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Bytes of the whole head.
    pub head: u64,
    /// Bytes of the request target (rule T12).
    pub target: usize,
    /// Header lines.
    pub fields: usize,
}

impl RequestLimits {
    /// The default limits.
    pub const DEFAULT: Self = Self { head: 32 << 10, target: 8 << 10, fields: 100 };
}

/// The parts of a request target (rules T3, T4, T8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The authority of a target in absolute form, which replaces Host.
    pub authority: Option<&'a [u8]>,
    /// The path as sent, not decoded. Never empty.
    pub path: &'a [u8],
    /// The part after the first `?`, possibly empty.
    pub query: &'a [u8],
}

/// The fields that [`RequestHead::check`] collects, besides the framing fields. A head has one or two of them.
const CHECKED: [&str; 3] = ["host", "content-type", "expect"];

impl RequestHead {
    /// The head made of these bytes.
    #[must_use]
    pub fn new(raw: Bytes) -> Self {
        Self { raw }
    }

    /// The exact bytes received.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The request line, without the line end.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        lines(&self.raw).next().unwrap_or_default()
    }

    /// The method: any token, with its case kept (rule T2).
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.words()[0]
    }

    /// The request target, verbatim.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.words()[1]
    }

    /// The parts of the request target.
    #[must_use]
    pub fn parts(&self) -> Target<'_> {
        let (authority, rest) = match authority_and_path(self.target()) {
            Some((authority, path)) => (Some(authority), path),
            None => (None, self.target()),
        };
        // A fragment is never part of a request; clients keep it to themselves (rule T8).
        let rest = rest.split(|byte| *byte == b'#').next().unwrap_or_default();
        let (path, query) = match rest.iter().position(|byte| *byte == b'?') {
            Some(mark) => (&rest[..mark], &rest[mark + 1..]),
            None => (rest, &b""[..]),
        };
        Target { authority, path: if path.is_empty() { b"/" } else { path }, query }
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        match self.words()[2] {
            b"HTTP/1.0" => Version::Http10,
            b"HTTP/2" => Version::Http2,
            _ => Version::Http11,
        }
    }

    fn words(&self) -> [&[u8]; 3] {
        let mut words = self.line().split(|byte| *byte == b' ');
        std::array::from_fn(|_| words.next().unwrap_or_default())
    }

    /// The header fields as name and value, without white space around the value (RFC 9112 section 5).
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        lines(&self.raw).skip(1).filter_map(field::split)
    }

    /// A copy of the fields: `environ.headers` of the contract.
    #[must_use]
    pub fn headers(&self) -> Vec<Field> {
        self.fields().map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec())).collect()
    }

    /// The values of all fields with this name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Refuses what the parser accepts but a gateway must not.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with the status given by rules T4 to T7, T12, H4, H5, K8 and I10.
    pub fn check(&self, limits: RequestLimits) -> Result<(), Refusal> {
        let refuse = |status, why| Err(Refusal::new(status, why));
        let (method, target) = (self.method(), self.target());

        if method == b"CONNECT" {
            return refuse(501, "CONNECT is not supported");
        }
        if target.len() > limits.target {
            return refuse(414, "the request target is too long");
        }
        if target == b"*" {
            if method != b"OPTIONS" {
                return refuse(400, "the request target `*` is only valid with OPTIONS");
            }
        } else if !target.starts_with(b"/") && authority_and_path(target).is_none() {
            return refuse(400, "the request target is neither a path nor a URL");
        }
        // hyper enforces this limit too, but not in HTTP/2.
        if self.raw.len() as u64 > limits.head {
            return refuse(431, "the request head is too large");
        }
        // A single pass, however many lines there are.
        let (mut lines, mut framing, mut checked) = (0, FramingFields::default(), Vec::new());
        for (name, value) in self.fields() {
            lines += 1;
            framing.add(name, value);
            if CHECKED.iter().any(|checked| name.eq_ignore_ascii_case(checked.as_bytes())) {
                checked.push((name, value));
            }
        }
        let values = |name: &'static str| {
            checked.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
        };
        if lines > limits.fields {
            return refuse(431, "the request has too many header lines");
        }

        let mut hosts = values("host");
        match (hosts.next(), hosts.next()) {
            (_, Some(_)) => return refuse(400, "the request has more than one Host"),
            (Some(host), None) if !is_host(host) => return refuse(400, "the Host of the request is malformed"),
            (None, None) if self.version() != Version::Http10 => return refuse(400, "the request has no Host"),
            _ => {}
        }
        if values("content-type").nth(1).is_some() {
            return refuse(400, "the request has more than one Content-Type");
        }
        framing.framing(self.version())?;
        if self.version() != Version::Http10 && !values("expect").flat_map(field::elements).all(is_continue) {
            return refuse(417, "the only Expect supported is `100-continue`");
        }
        Ok(())
    }
}

/// Whether an expectation is the one that we support, in any case (RFC 9110 section 10.1.1).
pub(super) fn is_continue(expectation: &[u8]) -> bool {
    expectation.eq_ignore_ascii_case(b"100-continue")
}

/// The lines before the empty one. Lines end in CRLF or a bare LF (rule T13).
fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
}

/// Splits a target in absolute form into the authority and the path with its query (rule T4).
pub(super) fn authority_and_path(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = target.iter().position(|byte| *byte == b':')?;
    let scheme = &target[..colon];
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = target[colon..].strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // RFC 3986 allows percent-encoding in names, but DNS does not, and the decoded text could contain a slash.
    (is_host(authority) && !authority.is_empty() && !authority.contains(&b'%')).then_some((authority, path))
}

/// Whether this is `host [":" port]` of RFC 3986; empty is allowed (RFC 9112 section 3.2).
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !value[colon..].contains(&b']') => (&value[..colon], &value[colon + 1..]),
        _ => (value, &b""[..]),
    };
    let host_is_valid = match host.strip_prefix(b"[") {
        Some(literal) => literal.strip_suffix(b"]").is_some_and(|literal| {
            !literal.is_empty() && literal.iter().all(|byte| byte.is_ascii_alphanumeric() || b":.".contains(byte))
        }),
        // reg-name, which includes IPv4 addresses: unreserved, percent-encoded, sub-delims.
        None => host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte)),
    };
    host_is_valid && port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> RequestHead {
        RequestHead::new(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_head_is_split_into_what_was_sent() {
        let head = head("GET /a?b HTTP/1.1\r\nHost: x\nX-Empty:\r\nx-Case: \t caf\u{e9}\t \r\n\r\nbody: no\r\n");
        assert_eq!((head.method(), head.target(), head.version()), (&b"GET"[..], &b"/a?b"[..], Version::Http11));
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(fields, [(&b"Host"[..], &b"x"[..]), (b"X-Empty", b""), (b"x-Case", "caf\u{e9}".as_bytes())]);
    }

    #[test]
    fn what_the_parser_accepts_and_a_gateway_must_not_is_refused() {
        let cases = [
            ("T2", "FROBNICATE / HTTP/1.1\r\nHost: x\r\n\r\n", 0),
            ("T4", "GET http://other:99/p HTTP/1.1\r\nHost: x\r\n\r\n", 0),
            ("T5", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 0),
            ("T5", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("T6", "CONNECT a:443 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
            ("T7", "GET env HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("T7", "GET a:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("H4", "GET / HTTP/1.1\r\n\r\n", 400),
            ("H4", "GET / HTTP/1.0\r\n\r\n", 0),
            ("H4", "GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", 400),
            ("H4", "GET / HTTP/1.1\r\nHost: a b/c\r\n\r\n", 400),
            ("H4", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0),
            ("H4", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
            ("H4", "GET / HTTP/1.1\r\nHost: x:8a\r\n\r\n", 400),
            ("H5", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 007\r\n\r\n", 0),
            ("H5", "POST / HTTP/2\r\nhost: x\r\ncontent-length: \r\n\r\n", 400),
            ("H5", "POST / HTTP/2\r\nhost: x\r\ncontent-length: +1\r\n\r\n", 400),
            ("H5", "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n", 400),
            ("K8", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n", 0),
            ("K8", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            ("K8", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
            ("H5", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 0),
            ("H5", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
            ("H5", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: +3\r\n\r\n", 400),
            ("K8", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("I10", "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n\r\n", 0),
            ("I10", "POST / HTTP/1.1\r\nHost: x\r\nExpect: , 100-continue,\r\n\r\n", 0),
            ("I10", "POST / HTTP/1.1\r\nHost: x\r\nExpect:\r\n\r\n", 0),
            ("I10", "POST / HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n", 417),
            ("I10", "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue, more\r\n\r\n", 417),
        ];
        for (rule, text, status) in cases {
            let got = head(text).check(RequestLimits::DEFAULT).map_or_else(|refusal| refusal.status(), |()| 0);
            assert_eq!(got, status, "{rule}: {text:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(8192));
        assert_eq!(head(&long).check(RequestLimits::DEFAULT).map_or_else(|refusal| refusal.status(), |()| 0), 414);
        let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100));
        assert_eq!(head(&many).check(RequestLimits::DEFAULT).map_or_else(|refusal| refusal.status(), |()| 0), 431);
        let large = format!("GET / HTTP/2\r\nhost: x\r\na: {}\r\n\r\n", "b".repeat(32 << 10));
        assert_eq!(head(&large).check(RequestLimits::DEFAULT).map_or_else(|refusal| refusal.status(), |()| 0), 431);
    }
}
