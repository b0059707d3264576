//! The answer that `wasmserve dump --reply` gives to every client.

use std::{fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::program::task::ReplyOptions;

/// The answer to a client that waits for permission to send its body (RFC 9110 section 10.1.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// An answer, ready to be sent.
#[derive(Debug)]
pub(super) struct Reply {
    head: Vec<u8>,
    body: Vec<u8>,
    /// Whether the bytes are sent as they are, even in answer to HEAD.
    is_raw: bool,
}

impl Reply {
    /// Prepares the answer, and reads its file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the options contradict each other.
    pub(super) fn new(options: &ReplyOptions) -> anyhow::Result<Self> {
        let ReplyOptions { status, file, headers } = options;
        let body = match file {
            Some(file) => {
                fs::read(file).with_context(|| format!("--reply-file `{}` cannot be read", file.display()))?
            }
            None => Vec::new(),
        };
        if body.starts_with(b"HTTP/") {
            ensure!(
                status.is_none() && headers.is_empty(),
                "the file of --reply-file begins with HTTP/ and is sent as it is; leave out the status and --header"
            );
            return Ok(Self { head: Vec::new(), body, is_raw: true });
        }
        let status = status.unwrap_or(StatusCode::OK);
        let is_bodyless = matches!(status.as_u16(), 204 | 205 | 304);
        if is_bodyless && file.is_some() {
            bail!("a response with status {} has no body; leave out --reply-file", status.as_u16());
        }
        let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
        let has_type = headers.iter().any(|(name, _)| name == header::CONTENT_TYPE);
        if let Some(file) = file.as_deref().filter(|_| !has_type) {
            head.push_str(&format!("Content-Type: {}\r\n", content_type(file, &body)));
        }
        if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut head = head.into_bytes();
        for (name, value) in headers {
            head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        head.extend(b"Connection: close\r\n\r\n");
        Ok(Self { head, body, is_raw: false })
    }

    /// The bytes for a client; without the body in answer to HEAD.
    pub(super) fn bytes(&self, is_head: bool) -> [&[u8]; 2] {
        [&self.head, if is_head && !self.is_raw { b"" } else { &self.body }]
    }
}

/// Parses a header field for an answer, `NAME: VALUE`.
///
/// # Errors
///
/// It is not a field, or one that the answer sets itself.
pub(crate) fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let Some((name, value)) = text.split_once(':') else {
        return Err("write NAME: VALUE, as in \"Retry-After: 5\"".into());
    };
    let name = HeaderName::try_from(name).map_err(|_| "its name is not a header name, as in \"Retry-After: 5\"")?;
    let value = HeaderValue::try_from(value.trim()).map_err(|_| "its value contains a control character")?;
    if [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
        return Err("dump sets it itself; send a whole response with --reply-file to change it".into());
    }
    Ok((name, value))
}

/// Parses the status of an answer.
///
/// # Errors
///
/// It is not the status of a final response.
pub(crate) fn parse_status(text: &str) -> Result<StatusCode, String> {
    let status = text.parse::<u16>().ok().filter(|status| (200..=599).contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    status.ok_or_else(|| "it must be from 200 to 599; after 1xx a client waits for another response".into())
}

/// Guesses the type of a file by its extension, then by its content.
fn content_type(file: &Path, body: &[u8]) -> &'static str {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match &*extension.to_ascii_lowercase() {
        "html" | "htm" => "text/html; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        _ if str::from_utf8(body).is_ok_and(|text| !text.contains('\0')) => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_cannot_split_the_response_or_frame_it() {
        let shown = |text| parse_header(text).map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")));
        assert_eq!(shown("Retry-After:5"), Ok("retry-after: 5".into()));
        assert_eq!(shown("X: a:b "), Ok("x: a:b".into()));
        for wrong in
            ["X", "", ": a", "X Y: a", "X: a\r\nY: b", "X\n: a", "X: \u{7f}", "Content-Length: 5", "connection: x"]
        {
            assert!(shown(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_status_is_final() {
        assert_eq!(parse_status("599").map(|status| status.as_u16()), Ok(599));
        for wrong in ["", "0", "100", "199", "600", "20", "2000", "OK", "-200"] {
            assert!(parse_status(wrong).is_err(), "{wrong:?}");
        }
    }
}
