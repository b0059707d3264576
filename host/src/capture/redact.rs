//! Replaces secrets in records: values of fields and of query parameters that are known by their names.
//!
//! Everything else stays, to the byte. Bodies and log lines are not searched.

use std::{collections::BTreeSet, ops::Range};

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
        let answers_head = record.request_head().method() == b"HEAD";
        let trailers = match record.protocol {
            Protocol::Http1 => request_trailers(&record.request.bytes),
            Protocol::Http2 => http2_trailers(&record.request),
        };
        self.side(&mut record.request, trailers, true, replaced);
        let trailers = match record.protocol {
            Protocol::Http1 => response_trailers(&record.response.bytes, answers_head),
            Protocol::Http2 => http2_trailers(&record.response),
        };
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
        // A URL may be in the query of another one.
        edits.dedup_by(|next, edit| {
            let is_inside = next.start < edit.end;
            edit.end = if is_inside { edit.end.max(next.end) } else { edit.end };
            is_inside
        });
        replace(side, &edits);
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

/// Replaces ranges of a side's bytes, which are in order and do not overlap, and adapts what counts them.
fn replace(side: &mut Side, edits: &[Range<usize>]) {
    let old = &side.bytes;
    let (mut bytes, mut at) = (Vec::with_capacity(old.len()), 0);
    // How far what follows each of the ranges moves.
    let mut moves = Vec::with_capacity(edits.len());
    for edit in edits {
        bytes.extend_from_slice(&old[at..edit.start]);
        bytes.extend_from_slice(REDACTED.as_bytes());
        at = edit.end;
        moves.push(bytes.len() as i64 - at as i64);
    }
    bytes.extend_from_slice(&old[at..]);
    let moved = |position: u64| {
        let before = edits.partition_point(|edit| (edit.start as u64) < position);
        let Some(last) = before.checked_sub(1) else { return position };
        // What was read or written in pieces is now in the first one of them.
        position.max(edits[last].end as u64).saturating_add_signed(moves[last])
    };
    let mut end = 0_u64;
    for (_, length) in &mut side.turns {
        let begin = end;
        end = end.saturating_add((*length).into());
        *length = u32::try_from(moved(end) - moved(begin)).unwrap_or(u32::MAX);
    }
    side.head = moved(side.head);
    side.trailers = side.trailers.map(moved);
    side.total = moved(side.total);
    side.bytes = bytes.into();
}

/// Where the trailers of HTTP/2 are.
fn http2_trailers(side: &Side) -> Option<Range<usize>> {
    let (_, trailers) = side.content_and_trailers();
    (!trailers.is_empty()).then(|| side.bytes.len() - trailers.len()..side.bytes.len())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::sample;

    /// The request and the response without secrets, and what was replaced.
    fn redacted(redaction: &Redaction, request: &[u8], response: &[u8]) -> (String, String, Vec<String>) {
        let mut replaced = BTreeSet::new();
        let record = redaction.apply(&sample::record(request, response), &mut replaced);
        for side in [&record.request, &record.response] {
            assert_eq!(side.total, side.bytes.len() as u64);
            assert_eq!(side.turns.iter().map(|(_, length)| u64::from(*length)).sum::<u64>(), side.total);
        }
        let text = |side: &Side| String::from_utf8(side.bytes.to_vec()).expect("it is text");
        (text(&record.request), text(&record.response), replaced.into_iter().collect())
    }

    /// Checks one line of a request head, after the request line.
    fn line(line: &str, expected: &str, replaced: &[&str]) {
        let head = |line: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\nbody: token=1");
        let (request, _, seen) = redacted(&Redaction::default(), head(line).as_bytes(), b"");
        assert_eq!((request, seen), (head(expected), replaced.iter().map(|name| (*name).to_owned()).collect()));
    }

    #[test]
    fn o11_secrets_in_fields_are_replaced() {
        line("Authorization: Bearer x", "Authorization: REDACTED", &["Authorization"]);
        line("AUTHORIZATION:Basic eA==  ", "AUTHORIZATION:REDACTED  ", &["AUTHORIZATION"]);
        line("Proxy-Authorization: x", "Proxy-Authorization: REDACTED", &["Proxy-Authorization"]);
        line("X-Api-Key: x", "X-Api-Key: REDACTED", &["X-Api-Key"]);
        line("x_auth_token: x", "x_auth_token: REDACTED", &["x_auth_token"]);
        line("X-Gitlab-Token: x", "X-Gitlab-Token: REDACTED", &["X-Gitlab-Token"]);
        line("X-Client-Secret: x", "X-Client-Secret: REDACTED", &["X-Client-Secret"]);
        line("Authorization: a\r\n b\r\n\tc", "Authorization: REDACTED\r\n REDACTED\r\n\tREDACTED", &["Authorization"]);
        line("Authorization:", "Authorization:", &[]);
        line("X-Hub-Signature-256: sha256=x", "X-Hub-Signature-256: sha256=x", &[]);
        line("X-Tokens: 3", "X-Tokens: 3", &[]);
    }

    #[test]
    fn o11_the_names_of_cookies_stay() {
        line("Cookie: a=1; b=2=3;c", "Cookie: a=REDACTED; b=REDACTED;REDACTED", &["Cookie"]);
        let response = b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: early=1\r\n\r\nHTTP/1.1 200 OK\r\n\
                         Set-Cookie: s=1; Path=/; HttpOnly\r\nContent-Length: 0\r\n\r\n";
        let (_, response, replaced) = redacted(&Redaction::default(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", response);
        assert_eq!(
            response,
            "HTTP/1.1 103 Early Hints\r\nSet-Cookie: early=1\r\n\r\nHTTP/1.1 200 OK\r\n\
             Set-Cookie: s=REDACTED; Path=/; HttpOnly\r\nContent-Length: 0\r\n\r\n"
                .replace("early=1", "early=REDACTED")
        );
        assert_eq!(replaced, ["Set-Cookie"]);
    }

    #[test]
    fn o11_secrets_in_urls_are_replaced() {
        let target = |target: &str, expected: &str| {
            let head = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let (request, ..) = redacted(&Redaction::default(), head(target).as_bytes(), b"");
            assert_eq!(request, head(expected));
        };
        target("/?a=1&token=x&b=2", "/?a=1&token=REDACTED&b=2");
        target("/?access_token=x", "/?access_token=REDACTED");
        target("/?X-Amz-Signature=x&Key=y", "/?X-Amz-Signature=REDACTED&Key=REDACTED");
        target("/?%74oken=x", "/?%74oken=REDACTED");
        target("/?token=", "/?token=");
        target("/token=x?tokens=1", "/token=x?tokens=1");
        target("/a;token=x", "/a;token=REDACTED");
        target("/?token=http://u:p@h/&code=1", "/?token=REDACTED&code=REDACTED");
        target("http://other/?sig=x", "http://other/?sig=REDACTED");
        line(
            "Referer: http://u:p@h/?token=x#id_token=y",
            "Referer: http://u:REDACTED@h/?token=REDACTED#id_token=REDACTED",
            &["?id_token", "?token", "the password of a URL"],
        );
    }

    #[test]
    fn o11_secrets_in_trailers_and_in_incomplete_heads_are_replaced() {
        let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                       10\r\nCookie: a=b\r\n123\r\n0\r\nX-Auth-Token: x\r\n\r\n";
        let (seen, ..) = redacted(&Redaction::default(), request.as_bytes(), b"");
        assert_eq!(seen, request.replace("Token: x", "Token: REDACTED"), "bodies are not searched");
        let mut record = sample::record(b"GET / HTTP/1.1\r\nAuthorization: x", b"");
        record.request.head = 0;
        let record = Redaction::default().apply(&record, &mut BTreeSet::new());
        assert_eq!(&record.request.bytes[..], b"GET / HTTP/1.1\r\nAuthorization: REDACTED");
    }

    #[test]
    fn o11_secrets_in_trailers_of_http2_are_replaced() {
        let request = b"POST / HTTP/2\r\nhost: a\r\ncookie: a=1\r\n\r\nx-auth-token: bodyx-auth-token: x\r\nb: 1\r\n";
        let mut record = sample::record(request, b"");
        record.protocol = Protocol::Http2;
        record.request.trailers = Some(record.request.head + 18);
        let record = Redaction::default().apply(&record, &mut BTreeSet::new());
        let (content, trailers) = record.request.content_and_trailers();
        assert_eq!((content, trailers), (&b"x-auth-token: body"[..], &b"x-auth-token: REDACTED\r\nb: 1\r\n"[..]));
        assert!(record.request.head().ends_with(b"cookie: a=REDACTED\r\n\r\n"));
    }

    #[test]
    fn o11_the_user_may_name_more_and_keep_all() {
        let request = b"GET /?pin=1 HTTP/1.1\r\nHost: a\r\nX-Pin: 2\r\nAuthorization: x\r\n\r\n";
        let (seen, ..) = redacted(&Redaction::with(&["PIN".into(), "x-pin".into()]), request, b"");
        assert_eq!(
            seen,
            "GET /?pin=REDACTED HTTP/1.1\r\nHost: a\r\nX-Pin: REDACTED\r\nAuthorization: REDACTED\r\n\r\n"
        );
        let (seen, _, replaced) = redacted(&Redaction::off(), request, b"");
        assert_eq!((seen.as_bytes(), replaced.len()), (&request[..], 0));
    }

    #[test]
    fn the_times_of_reads_stay_with_their_bytes() {
        let mut record = sample::record(b"GET / HTTP/1.1\r\nCookie: a=12345678901234567890\r\n\r\n", b"");
        record.request.turns = vec![(0, 30), (5, 10), (9, 10)];
        let record = Redaction::default().apply(&record, &mut BTreeSet::new());
        assert_eq!(&record.request.bytes[..], b"GET / HTTP/1.1\r\nCookie: a=REDACTED\r\n\r\n");
        assert_eq!(record.request.turns, [(0, 34), (5, 0), (9, 4)]);
    }
}
