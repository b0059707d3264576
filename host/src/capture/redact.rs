//! Replaces secrets in records: values of fields and of query parameters that are known by their names.
//!
//! Everything else stays, to the byte. Bodies and log lines are not searched.

use std::{collections::BTreeSet, ops::Range};

use bytes::Bytes;
use wasmserve_gateway::{
    field,
    request::RequestLimits,
    responses::{self, Responses},
    stream::{self, Parser},
};

use super::record::{Protocol, Record, Side};

/// What a secret is replaced with.
pub const REDACTED: &str = "REDACTED";

/// Fields whose values are secrets, in lower case.
const FIELDS: [&str; 5] = ["authorization", "proxy-authorization", "api-key", "apikey", "x-apikey"];

/// Fields of cookies: their names stay.
const COOKIES: [&str; 2] = ["cookie", "set-cookie"];

/// Ends of the names of fields whose values are secrets.
const FIELD_ENDS: [&str; 5] = ["-token", "-secret", "-api-key", "-authorization", "-password"];

/// Fields whose values are URLs, which may have secrets in their queries.
const URLS: [&str; 5] = ["referer", "location", "content-location", "origin", "refresh"];

/// Query parameters that are secrets, in lower case.
const PARAMETERS: [&str; 9] = ["key", "apikey", "api_key", "api-key", "sig", "code", "pwd", "passwd", "auth"];

/// Ends of the names of query parameters that are secrets.
const PARAMETER_ENDS: [&str; 4] = ["token", "secret", "password", "signature"];

/// Which secrets are replaced.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    is_off: bool,
    /// Further names, in lower case.
    names: Vec<String>,
}

impl Redaction {
    /// Replaces the fields and query parameters that are known to be secrets, and those with one of these names.
    #[must_use]
    pub fn with(names: &[String]) -> Self {
        Self { is_off: false, names: names.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Replaces nothing.
    #[must_use]
    pub fn off() -> Self {
        Self { is_off: true, names: Vec::new() }
    }

    /// Returns a record without the secrets. Adds what was replaced to `replaced`: the names of fields, and of query
    /// parameters as `?name`.
    #[must_use]
    pub fn apply(&self, record: &Record, replaced: &mut BTreeSet<String>) -> Record {
        let mut record = record.clone();
        if self.is_off {
            return record;
        }
        // It contains what the handler's random numbers were made from.
        record.script = None;
        let is_http1 = record.protocol == Protocol::Http1;
        let answers_head = record.request_head().method() == b"HEAD";
        let trailers = if is_http1 { request_trailers(&record.request.bytes) } else { None };
        self.side(&mut record.request, trailers, true, replaced);
        let trailers = if is_http1 { response_trailers(&record.response.bytes, answers_head) } else { None };
        self.side(&mut record.response, trailers, false, replaced);
        record
    }

    fn side(&self, side: &mut Side, trailers: Option<Range<usize>>, is_request: bool, replaced: &mut BTreeSet<String>) {
        let bytes = side.bytes.clone();
        // A head that was not complete has no end.
        let head = match side.head().len() {
            0 => bytes.len(),
            head => head,
        };
        let mut edits = Vec::new();
        for region in [Some(0..head), trailers].into_iter().flatten() {
            self.region(&bytes, region, is_request, &mut edits, replaced);
        }
        edits.sort_by_key(|edit| edit.start);
        // From the end, so that the places of those before stay as they are. A URL may be in the query of another one.
        edits.dedup_by(|next, edit| {
            let is_inside = next.start < edit.end;
            edit.end = if is_inside { edit.end.max(next.end) } else { edit.end };
            is_inside
        });
        for edit in edits.into_iter().rev() {
            splice(side, edit);
        }
    }

    /// Finds the secrets in heads or in a trailer section.
    fn region(
        &self,
        bytes: &[u8],
        region: Range<usize>,
        is_request: bool,
        edits: &mut Vec<Range<usize>>,
        replaced: &mut BTreeSet<String>,
    ) {
        let mut at = region.start;
        let mut is_first = region.start == 0;
        // Whether the line before was a secret, of which folded lines are a part.
        let mut is_secret = false;
        for line in bytes[region].split_inclusive(|byte| *byte == b'\n') {
            let begin = at;
            at += line.len();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            if std::mem::take(&mut is_first) {
                if is_request {
                    self.query(line, begin, edits, replaced);
                }
                continue;
            }
            if is_secret && matches!(line[0], b' ' | b'\t') {
                edits.extend(not_empty(begin, line));
                continue;
            }
            is_secret = false;
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (String::from_utf8_lossy(&line[..colon]), &line[colon + 1..]);
            let known = name.trim().to_ascii_lowercase().replace('_', "-");
            let begin = begin + colon + 1;
            if COOKIES.contains(&&*known) {
                is_secret = true;
                let only = if known == "cookie" { usize::MAX } else { 1 };
                let edited = cookies(value, begin, only);
                if !edited.is_empty() {
                    replaced.insert(name.trim().to_owned());
                }
                edits.extend(edited);
            } else if self.is_field(&known) {
                is_secret = true;
                let edited = not_empty(begin, value);
                replaced.extend(edited.as_ref().map(|_| name.trim().to_owned()));
                edits.extend(edited);
            } else if URLS.contains(&&*known) {
                self.query(value, begin, edits, replaced);
            }
        }
    }

    fn is_field(&self, name: &str) -> bool {
        FIELDS.contains(&name)
            || FIELD_ENDS.iter().any(|end| name.ends_with(end))
            || self.names.iter().any(|known| known.replace('_', "-") == name)
    }

    fn is_parameter(&self, name: &str) -> bool {
        PARAMETERS.contains(&name)
            || PARAMETER_ENDS.iter().any(|end| name.ends_with(end))
            || self.names.iter().any(|known| known == name)
    }

    /// Finds the secrets in a URL, whether in the query, in the fragment, or before an `@`.
    fn query(&self, url: &[u8], begin: usize, edits: &mut Vec<Range<usize>>, replaced: &mut BTreeSet<String>) {
        let mut at = 0;
        if let Some(scheme) = memchr::memmem::find(url, b"://") {
            let authority = &url[scheme + 3..];
            let end = authority.iter().position(|byte| b"/?# ".contains(byte)).unwrap_or(authority.len());
            if let Some(user) = authority[..end].iter().rposition(|byte| *byte == b'@') {
                let password = authority[..user].iter().position(|byte| *byte == b':');
                if let Some(password) = password {
                    edits.extend(not_empty(begin + scheme + 3 + password + 1, &authority[password + 1..user]));
                    replaced.insert("the password of a URL".into());
                }
            }
        }
        for part in url.split(|byte| b"?&;# ".contains(byte)) {
            let part_begin = at;
            at += part.len() + 1;
            let before = part_begin.checked_sub(1).map(|before| url[before]);
            if !matches!(before, Some(b'?' | b'&' | b';' | b'#')) {
                continue;
            }
            let Some(equals) = part.iter().position(|byte| *byte == b'=') else { continue };
            let name = field::percent_decoded(&part[..equals]);
            let name = String::from_utf8_lossy(&name).to_ascii_lowercase();
            if self.is_parameter(&name)
                && let Some(edit) = not_empty(begin + part_begin + equals + 1, &part[equals + 1..])
            {
                replaced.insert(format!("?{name}"));
                edits.push(edit);
            }
        }
    }
}

/// The range of a value without white space around it, unless it is empty.
fn not_empty(begin: usize, value: &[u8]) -> Option<Range<usize>> {
    let blank = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let length = field::trim(value).len();
    (length > 0).then_some(begin + blank..begin + blank + length)
}

/// The values of the first `only` cookies of a field. What has no name is a value.
fn cookies(value: &[u8], begin: usize, only: usize) -> Vec<Range<usize>> {
    let mut at = begin;
    let mut found = Vec::new();
    for cookie in value.split(|byte| *byte == b';').take(only) {
        let name = cookie.iter().position(|byte| *byte == b'=').map_or(0, |equals| equals + 1);
        found.extend(not_empty(at + name, &cookie[name..]));
        at += cookie.len() + 1;
    }
    found
}

/// Replaces a range of a side's bytes, and adapts what counts them.
fn splice(side: &mut Side, range: Range<usize>) {
    let new = REDACTED.len();
    side.bytes = Bytes::from([&side.bytes[..range.start], REDACTED.as_bytes(), &side.bytes[range.end..]].concat());
    side.total = side.total + new as u64 - range.len() as u64;
    if range.start < usize::try_from(side.head).unwrap_or(usize::MAX) {
        side.head = side.head + new as u64 - range.len() as u64;
    }
    // The new bytes are in the read or write in which the old ones began.
    let (mut at, mut left, mut is_added) = (0_u64, range.len() as u64, false);
    for (_, length) in &mut side.turns {
        let end = at + u64::from(*length);
        if end > range.start as u64 {
            let begin = at.max(range.start as u64);
            let removed = left.min(end - begin);
            left -= removed;
            let added = if std::mem::replace(&mut is_added, true) { 0 } else { new as u64 };
            *length = u32::try_from(u64::from(*length) - removed + added).unwrap_or(u32::MAX);
            if left == 0 {
                break;
            }
        }
        at = end;
    }
}

/// Where the trailer section of a request is, with the line of the last chunk before it.
fn request_trailers(bytes: &[u8]) -> Option<Range<usize>> {
    let limits = RequestLimits { head: u64::MAX, target: usize::MAX, fields: usize::MAX };
    let (mut parser, mut input) = (Parser::new(limits), bytes);
    loop {
        let before = bytes.len() - input.len();
        match parser.next(&mut input)? {
            stream::Piece::End(trailers) if !trailers.is_empty() => return Some(before..bytes.len() - input.len()),
            stream::Piece::End(_) | stream::Piece::Malformed => return None,
            stream::Piece::Start(_) | stream::Piece::Data(_) => {}
        }
    }
}

/// Where the trailer section of a response is, with the line of the last chunk before it.
fn response_trailers(bytes: &[u8], answers_head: bool) -> Option<Range<usize>> {
    let (mut responses, mut input) = (Responses::default(), bytes);
    loop {
        let before = bytes.len() - input.len();
        match responses.next(&mut input, answers_head).ok()?? {
            responses::Piece::End(trailers) if !trailers.is_empty() => {
                return Some(before..bytes.len() - input.len());
            }
            responses::Piece::End(_) => return None,
            responses::Piece::Interim | responses::Piece::Head | responses::Piece::Data(_) => {}
        }
    }
}
