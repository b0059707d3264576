//! The grammar of HTTP heads.

use std::str;

/// Whether this is a status line like `200 OK`. The reason may be empty, and the space before it may be missing.
pub(crate) fn is_status(status: &str) -> bool {
    let (code, reason) = status.split_once(' ').unwrap_or((status, ""));
    code.len() == 3 && is_digits(code.as_bytes()) && code >= "200" && is_text(reason.as_bytes())
}

/// Whether this is a token: the name of a method or a field (RFC 9110 section 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_token)
}

/// Whether there are no control characters except tabs (RFC 9110 section 5.5).
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

pub(crate) fn is_digits(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// Parses a length.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    // `parse` alone would accept a sign.
    is_digits(bytes).then(|| str::from_utf8(bytes).ok()?.parse().ok())?
}

/// Removes the white space around a field's value, which is not part of it (RFC 9110 section 5.5).
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether a field is about the connection, and so reserved for the host (PEP 3333, "Other HTTP Features").
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    const NAMES: [&str; 9] = [
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
    NAMES.iter().any(|other| name.eq_ignore_ascii_case(other))
}
