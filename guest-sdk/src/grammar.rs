//! What HTTP allows in a head.

use std::str;

/// `200 OK`; the reason may be empty, and so may be the space before it.
pub(crate) fn is_status(status: &str) -> bool {
    let (code, reason) = status.split_once(' ').unwrap_or((status, ""));
    code.len() == 3 && is_digits(code.as_bytes()) && code >= "200" && is_text(reason.as_bytes())
}

/// The names of methods and of fields (RFC 9110 section 5.6.2).
pub(crate) fn is_token(octets: &[u8]) -> bool {
    let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
    !octets.is_empty() && octets.iter().all(is_token)
}

/// No control characters but tabs (RFC 9110 section 5.5).
pub(crate) fn is_text(octets: &[u8]) -> bool {
    octets.iter().all(|octet| *octet == b'\t' || !octet.is_ascii_control())
}

pub(crate) fn is_digits(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(u8::is_ascii_digit)
}

/// A length.
pub(crate) fn number(octets: &[u8]) -> Option<u64> {
    // `parse` would take a sign too.
    is_digits(octets).then(|| str::from_utf8(octets).ok()?.parse().ok())?
}

/// Without the white space around a field's value, which is not part of it (RFC 9110 section 5.5).
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Fields about the connection, which are the host's business (PEP 3333, "Other HTTP Features").
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
