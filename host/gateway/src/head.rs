//! The head of a response: what a handler may pass to `start_response`.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::{
    field::{self, Field},
    request::RequestLimits,
};

/// A head that passed every check and can be sent unchanged.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// From 200 to 999.
    pub status: StatusCode,
    /// The reason phrase, which may be empty.
    pub reason: Bytes,
    /// The fields. Repeated fields stay separate lines (rule S11).
    pub fields: HeaderMap,
    /// The value of `Content-Length`, if the handler set one.
    pub length: Option<u64>,
}

/// A reason phrase other than the standard one of the status, for the transport to write (rule S7).
#[derive(Clone, Debug)]
pub struct Reason(pub Bytes);

/// Why a response could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// `start_response` was already called, and this call has no exception (rule S2).
    AlreadyStarted,
    /// The head was already sent (rule S4).
    HeadersSent,
    /// The status line is malformed (rule S6).
    BadStatus,
    /// A field is malformed; the text names it as the handler passed it, and says why (rules S8, S10).
    BadHeader(String),
    /// The named field may only be set by the host (rule S9).
    HopByHop(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyStarted => write!(f, "start-response was called twice without exc-info"),
            Self::HeadersSent => write!(f, "start-response was called after the head had been sent"),
            Self::BadStatus => write!(f, "the status is not three digits from 200 to 999, a space and a reason phrase"),
            Self::BadHeader(what) => write!(f, "bad header: {what}"),
            Self::HopByHop(name) => write!(f, "`{name}` is a hop-by-hop field, which only the host may set"),
        }
    }
}

/// Limits of a response head. Checked before anything is allocated for it.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes in all names and values together.
    pub bytes: u64,
    /// Header lines.
    pub fields: usize,
}

impl HeadLimits {
    /// The default limits: those of a request's head.
    pub const DEFAULT: Self = Self { bytes: RequestLimits::DEFAULT.head, fields: RequestLimits::DEFAULT.fields };
}

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl ResponseHead {
    /// Checks what a handler passed to `start_response`.
    ///
    /// # Errors
    ///
    /// The first rule broken (rules S6 to S10). Never panics, whatever the guest passes.
    pub fn check(status: &str, fields: Vec<Field>, limits: HeadLimits) -> Result<Self, StartError> {
        let (status, reason) = check_status(status).ok_or(StartError::BadStatus)?;

        let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len() + ": \r\n".len()).sum();
        if fields.len() > limits.fields || bytes as u64 > limits.bytes {
            return Err(StartError::BadHeader(format!(
                "the head is too large: {} fields with {bytes} bytes; the limits are {} fields and {} bytes",
                fields.len(),
                limits.fields,
                limits.bytes
            )));
        }

        let mut checked = HeaderMap::with_capacity(fields.len() + 3);
        let mut length = None;
        for (name, value) in fields {
            let bad = |why: &str| StartError::BadHeader(format!("`{name}`: {why}"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("the name is not a token"))?;
            if HOP_BY_HOP.contains(&key.as_str()) {
                return Err(StartError::HopByHop(key.as_str().to_owned()));
            }
            let value =
                HeaderValue::from_maybe_shared(trim(value)).map_err(|_| bad("the value has a control character"))?;
            if key == header::CONTENT_LENGTH {
                let bytes = value.as_bytes();
                let number = (!bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit))
                    .then(|| value.to_str().ok()?.parse().ok())
                    .flatten()
                    .ok_or_else(|| bad("the value is not a single valid number"))?;
                if length.replace(number).is_some() {
                    return Err(bad("given more than once"));
                }
            }
            checked.try_append(key, value).map_err(|_| bad("there are too many fields"))?;
        }
        Ok(Self { status, reason, fields: checked, length })
    }

    /// Converts the head to what is sent, with the framing that follows from it (rules B3, B6, B9, B10). `whole` is the
    /// length of the body, if known before the head is sent.
    #[must_use]
    pub fn into_parts(self, whole: Option<u64>) -> http::response::Parts {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = self.status;
        parts.headers = self.fields;
        // The transport writes the standard phrases itself.
        if self.status.canonical_reason().map(str::as_bytes) != Some(&self.reason) {
            parts.extensions.insert(Reason(self.reason));
        }
        match (self.status, self.length.or(whole)) {
            (StatusCode::NO_CONTENT, _) => {
                parts.headers.remove(header::CONTENT_LENGTH);
            }
            (StatusCode::RESET_CONTENT, _) => {
                parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            // The length of the body that a 200 would have had, which only the handler can know.
            (StatusCode::NOT_MODIFIED, _) | (_, None) => {}
            (_, Some(length)) => {
                parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        parts
    }

    /// Whether a response with this status has no body, even if the handler writes one (rule B10).
    #[must_use]
    pub fn is_bodyless(&self) -> bool {
        matches!(self.status.as_u16(), 204 | 205 | 304)
    }
}

/// Parses `200 OK`; the reason may be empty, and the space before it omitted (rule S6).
fn check_status(text: &str) -> Option<(StatusCode, Bytes)> {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let code = StatusCode::from_bytes(code.as_bytes()).ok().filter(|code| !code.is_informational())?;
    let is_text = |byte: u8| byte == b'\t' || byte == b' ' || byte > 0x20 && byte != 0x7f;
    let reason = match code.canonical_reason() {
        Some(usual) if usual == reason => Bytes::from_static(usual.as_bytes()),
        _ => reason.bytes().all(is_text).then(|| Bytes::copy_from_slice(reason.as_bytes()))?,
    };
    Some((code, reason))
}

/// Removes white space around a field value, which is not part of the value (RFC 9110 section 5.5).
fn trim(value: Vec<u8>) -> Bytes {
    let rest = field::trim(&value);
    if rest.len() == value.len() { value.into() } else { Bytes::copy_from_slice(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 32 << 10, fields: 100 };

    fn check(status: &str, fields: &[(&str, &[u8])]) -> Result<ResponseHead, StartError> {
        let fields: Vec<Field> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        ResponseHead::check(status, fields, LIMITS)
    }

    #[test]
    fn s6_s7_a_status_is_three_digits_and_a_reason() {
        for (text, code, reason) in [
            ("200 OK", 200, "OK"),
            ("200 ", 200, ""),
            ("200", 200, ""),
            ("599 Weird Thing", 599, "Weird Thing"),
            ("999 \u{e9}", 999, "\u{e9}"),
        ] {
            let head = check(text, &[]).expect(text);
            assert_eq!((head.status.as_u16(), &head.reason[..]), (code, reason.as_bytes()));
        }
        for text in [
            "",
            "099 Low",
            "100 Continue",
            "101 Switching",
            "1000 High",
            "20 Short",
            "OK",
            "2x0 OK",
            "200\tOK",
            "200 O\nK",
            "200 O\0K",
            " 200 OK",
            "+20 OK",
        ] {
            assert_eq!(check(text, &[]).expect_err(text), StartError::BadStatus, "{text:?}");
        }
    }

    #[test]
    fn s8_s9_s10_each_bad_field_is_rejected_by_name() {
        for (name, value) in [
            ("", &b"x"[..]),
            ("X A", b"x"),
            ("X-A:", b"x"),
            ("X\r\nA", b"x"),
            ("X\u{e9}", b"x"),
            ("X", b"a\r\nSet-Cookie: b"),
            ("X", b"a\nb"),
            ("X", b"a\0b"),
            ("X", b"\x01"),
            ("X", b"\x7f"),
            ("Content-Length", b""),
            ("Content-Length", b"-1"),
            ("Content-Length", b"+1"),
            ("Content-Length", b"1, 1"),
            ("Content-Length", b"99999999999999999999"),
        ] {
            let error = check("200 OK", &[(name, value)]).expect_err(name);
            assert!(matches!(error, StartError::BadHeader(_)), "{name:?} {value:?}: {error}");
        }
        for name in HOP_BY_HOP {
            let error = check("200 OK", &[(&name.to_ascii_uppercase(), b"x")]).expect_err(name);
            assert_eq!(error, StartError::HopByHop(name.to_owned()));
        }
        let twice: [(&str, &[u8]); 2] = [("Content-Length", b"1"), ("content-length", b"1")];
        assert!(matches!(check("200 OK", &twice), Err(StartError::BadHeader(_))));
    }

    #[test]
    fn s8_bytes_are_kept_and_surrounding_white_space_is_not() {
        let head = check("200 OK", &[("X", b" \tcaf\xe9\tx \t"), ("Y", b"")]).expect("valid");
        assert_eq!(head.fields["x"].as_bytes(), b"caf\xe9\tx");
        assert_eq!(head.fields["y"].as_bytes(), b"");
    }

    #[test]
    fn s11_repeated_fields_stay_separate_and_in_order() {
        let head = check("200 OK", &[("Set-Cookie", b"a"), ("X", b"1"), ("set-cookie", b"b")]).expect("valid");
        let cookies: Vec<_> = head.fields.get_all("set-cookie").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(cookies, [b"a", b"b"]);
    }

    #[test]
    fn x6_a_head_beyond_the_limits_is_rejected_before_it_is_stored() {
        let many: Vec<Field> = (0..40_000).map(|at| (format!("X-{at}"), Vec::new())).collect();
        assert!(matches!(ResponseHead::check("200 OK", many, LIMITS), Err(StartError::BadHeader(_))));
        let long = vec![("X".to_owned(), vec![b'a'; 33 << 10])];
        assert!(matches!(ResponseHead::check("200 OK", long, LIMITS), Err(StartError::BadHeader(_))));
    }
}
