//! What writing and reading have in common.

use std::borrow::Cow;

/// The version of the JSON in `metadata` records. Members may be added without a change of it.
pub(super) const FORMAT: u32 = 1;

/// The media types of the blocks of our records.
pub(super) const REQUEST: &str = "application/http;msgtype=request";
pub(super) const RESPONSE: &str = "application/http;msgtype=response";
pub(super) const METADATA: &str = "application/json";

/// In a request line in a file, this stands for `HTTP/2`, because readers of WARC expect HTTP/1.
pub(super) const STAND_IN: &[u8] = b" HTTP/1.1";
pub(super) const HTTP2: &[u8] = b" HTTP/2";

/// Replaces the end of the first line, if it is `from`.
pub(super) fn replaced_in_line<'a>(bytes: &'a [u8], from: &[u8], to: &[u8]) -> Cow<'a, [u8]> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    match bytes[..end].strip_suffix(from) {
        Some(line) => [line, to, &bytes[end..]].concat().into(),
        None => bytes.into(),
    }
}
