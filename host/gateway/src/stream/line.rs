//! The syntax of one line of a head or trailer section (RFC 9112 sections 3 and 5).
//!
//! [`RequestHead`](crate::request::RequestHead) splits every accepted line in the same way: at its spaces, or at its
//! first colon.

use crate::{field, version::Version};

/// Checks a request line, without the line end, and returns its version (rules T1, T2, T11).
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check_request_line(line: &[u8]) -> Result<Version, &'static str> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("the request line is not a method, a target and a version with one space between them");
    };
    if !field::is_token(method) {
        return Err("the method is not a token");
    }
    if !is_target(target) {
        return Err("the request target contains an invalid character; percent-encode it");
    }
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        _ => Err("the version is not HTTP/1.x"),
    }
}

/// Splits a field line into name and value, without white space around the value (rule T13).
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check_field(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or("a header line has no colon")?;
    let (name, value) = (&line[..colon], field::trim(&line[colon + 1..]));
    if !field::is_token(name) {
        return Err("the name of a header is not a token");
    }
    if !field::is_value(value) {
        return Err("the value of a header has a control character");
    }
    Ok((name, value))
}

/// Whether a byte is allowed in an incomplete line, which may still become valid.
pub(super) fn may_be_in_line(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || matches!(byte, b'\t' | b'\r')
}

/// Whether this is an acceptable target. Accepts more than RFC 3986, because clients send it: all visible characters
/// except angle brackets, and UTF-8.
pub(crate) fn is_target(target: &[u8]) -> bool {
    // A fragment is not part of the request (rule T8), but it is part of the line.
    let is_visible = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    let fragment = target.iter().position(|byte| *byte == b'#').unwrap_or(target.len());
    !target.is_empty()
        && target.iter().all(is_visible)
        && !target[..fragment].iter().any(|byte| matches!(byte, b'<' | b'>'))
        && str::from_utf8(target).is_ok()
}
