//! CGI programs: their arguments, and their output, which is a head, an empty line and a body (RFC 3875 sections 4.4 and 6).

use std::{fmt, mem};

use bytes::Bytes;

use crate::{
    escape::escape,
    field::{self, Field},
    refusal::Refusal,
    request::{RequestHead, RequestLimits, Target},
    stream::is_target,
};

/// How many bytes of a line a message shows.
const SHOWN_MAX: usize = 80;

/// How a head begins, for messages.
const EXAMPLE: &str = "print `Content-Type: text/plain` and an empty line first, or add `handler!(app);` if it is Rust";

/// Fields that a program may print for the connection, which is not its own.
const OF_CONNECTION: [&str; 3] = ["connection", "keep-alive", "proxy-connection"];

/// Fields that describe the body of a request.
const OF_BODY: [&str; 8] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
    "expect",
    "trailer",
    "transfer-encoding",
];

/// How the output of a program begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With fields, of which some are for the server (section 6.2). A status line before them is accepted.
    Parsed,
    /// With a status line, as in HTTP (section 5): the output is the whole response.
    NonParsed,
}

impl Form {
    /// The form of the output of a program with this name: `nph-` stands for a non-parsed head.
    #[must_use]
    pub fn of(program: &str) -> Self {
        if program.starts_with("nph-") { Self::NonParsed } else { Self::Parsed }
    }
}

/// What a program asks for in the head of its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// A response to the client, whose body follows (sections 6.2.1, 6.2.3 and 6.2.4).
    Document {
        /// The status and its reason, such as `200 OK`.
        status: String,
        /// The fields for the client.
        fields: Vec<Field>,
    },
    /// The response to a GET of this path and query instead (section 6.2.2).
    LocalRedirect(Bytes),
}

/// What is wrong with the head of a program's output, for the program's author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadError(String);

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HeadError {}

/// Reads the head of a program's output as it arrives. How it is split makes no difference.
#[derive(Debug)]
pub struct HeadReader {
    form: Form,
    limit: u64,
    /// How many bytes have arrived.
    size: u64,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    lines: usize,
    status: Option<String>,
    location: Option<Vec<u8>>,
    fields: Vec<Field>,
}

impl HeadReader {
    /// A reader that accepts at most `limit` bytes up to the end of the head.
    #[must_use]
    pub fn new(form: Form, limit: u64) -> Self {
        Self { form, limit, size: 0, line: Vec::new(), lines: 0, status: None, location: None, fields: Vec::new() }
    }

    /// Takes the next bytes. Once the head is complete, returns it and how many of these bytes belong to it; the others
    /// are the beginning of the body. Must not be called after that, or after an error.
    ///
    /// # Errors
    ///
    /// The head is malformed or too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<(Response, usize)>, HeadError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            let (part, later) = rest.split_at(end.unwrap_or(rest.len()));
            self.size += part.len() as u64;
            if self.size > self.limit {
                return Err(HeadError(format!("its head does not end within {} bytes; {EXAMPLE}", self.limit)));
            }
            rest = later;
            if end.is_none() {
                self.line.extend_from_slice(part);
                break;
            }
            let begun = mem::take(&mut self.line);
            let whole = if begun.is_empty() { part } else { &[&begun, part].concat() };
            let line = without_end(whole);
            if line.is_empty() {
                return Ok(Some((self.finish()?, bytes.len() - rest.len())));
            }
            self.take(line)?;
        }
        Ok(None)
    }

    /// What is wrong with an output that ended before its head did.
    #[must_use]
    pub fn end(mut self) -> HeadError {
        let line = mem::take(&mut self.line);
        match self.take(without_end(&line)) {
            _ if self.lines == 0 => HeadError(format!("it printed nothing; {EXAMPLE}")),
            Err(error) if !line.is_empty() => error,
            _ => HeadError("its output ended within its head; print an empty line after the last field".to_owned()),
        }
    }

    /// Takes a line of the head, which is not the empty one at its end.
    fn take(&mut self, line: &[u8]) -> Result<(), HeadError> {
        if line.is_empty() {
            return Ok(());
        }
        self.lines += 1;
        if self.lines == 1 {
            if let Some(status) = status_of(line) {
                self.status = Some(text(status));
                return Ok(());
            }
            if self.form == Form::NonParsed {
                return Err(HeadError(format!(
                    "its first line is no status line, with which the output of a program named `nph-` begins: `{}`; \
                     print `HTTP/1.1 200 OK` first",
                    shown(line)
                )));
            }
        }
        let (name, value) = split(line)?;
        let known = name.to_ascii_lowercase();
        let is_status = known == "status" && self.form == Form::Parsed;
        let is_first = match &*known {
            _ if is_status => self.status.replace(text(value)).is_none(),
            "location" => self.location.replace(value.to_vec()).is_none(),
            "content-type" | "content-length" => self.fields.iter().all(|(other, _)| !other.eq_ignore_ascii_case(name)),
            _ => true,
        };
        if !is_first {
            return Err(HeadError(format!("its head has more than one `{name}`; print it once")));
        }
        if !is_status && !OF_CONNECTION.contains(&&*known) {
            self.fields.push((name.to_owned(), value.to_vec()));
        }
        Ok(())
    }

    /// What follows from a complete head.
    fn finish(&mut self) -> Result<Response, HeadError> {
        if self.lines == 0 {
            return Err(HeadError(format!("its output begins with an empty line; {EXAMPLE}")));
        }
        let (status, fields) = (self.status.take(), mem::take(&mut self.fields));
        let usual = match self.location.take() {
            Some(location) if location.is_empty() => {
                return Err(HeadError("its `Location` is empty; print a URL or a path".to_owned()));
            }
            // With further fields, which would be lost, the client has to come back.
            Some(location)
                if self.form == Form::Parsed
                    && status.is_none()
                    && is_local(&location)
                    && fields.iter().all(is_of_redirect) =>
            {
                return Ok(Response::LocalRedirect(location.into()));
            }
            Some(_) => "302 Found",
            None => "200 OK",
        };
        Ok(Response::Document { status: status.unwrap_or_else(|| usual.to_owned()), fields })
    }
}

/// Whether a location is a path of this server, and not one of another server (`//host/path`).
fn is_local(location: &[u8]) -> bool {
    location.starts_with(b"/") && !location.starts_with(b"//")
}

/// Whether a field has no meaning beside that of a local redirect.
fn is_of_redirect((name, _): &Field) -> bool {
    ["location", "content-type", "content-length"].iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Removes LF or CRLF: each system has its own line end, and both are accepted everywhere.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The status and reason of a status line of HTTP/1.
fn status_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    Some(rest.split_at_checked(1)?.1)
}

/// Splits a field into its name and its value.
fn split(line: &[u8]) -> Result<(&str, &[u8]), HeadError> {
    let wrong = |why: &str| HeadError(format!("a line of its head {why}: `{}`; {EXAMPLE}", shown(line)));
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| wrong("has no colon"))?;
    let (name, value) = (&line[..colon], field::trim(&line[colon + 1..]));
    match str::from_utf8(name) {
        Ok(name) if field::is_token(name.as_bytes()) => Ok((name, value)),
        _ => Err(wrong("does not begin with the name of a field")),
    }
}

/// The beginning of a text that may be anything, for a message.
fn shown(text: &[u8]) -> String {
    escape(&text[..text.len().min(SHOWN_MAX)])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(field::trim(bytes)).into_owned()
}

/// The words of a query without `=`, which are arguments of a program (section 4.4): `?a+b` has two. There are none if
/// one of them cannot be passed, or might be taken for an option: `php-cgi` ran what a client had passed as `-d`
/// (CVE-2012-1823).
#[must_use]
pub fn arguments(head: &RequestHead) -> Vec<String> {
    let query = head.parts().query;
    if query.is_empty() || query.contains(&b'=') || !matches!(head.method(), b"GET" | b"HEAD") {
        return Vec::new();
    }
    let words = query.split(|byte| *byte == b'+').map(|word| {
        let word = String::from_utf8(field::percent_decoded(word)).ok()?;
        (!word.starts_with('-') && !word.contains('\0')).then_some(word)
    });
    words.collect::<Option<_>>().unwrap_or_default()
}

/// The request that a local redirect leads to: a GET of the new path, with the fields of the first request except those
/// that describe its body, which the first program has read. `location` is the path and query of
/// [`Response::LocalRedirect`].
///
/// # Errors
///
/// There can be no such request.
pub fn redirected(head: &RequestHead, location: &[u8], limits: RequestLimits) -> Result<RequestHead, HeadError> {
    let wrong = |why: &str| HeadError(format!("its `Location` leads nowhere: {why}: `{}`", shown(location)));
    if !is_target(location) {
        return Err(wrong("it contains an invalid character; percent-encode it"));
    }
    let version = head.line().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let mut raw = [b"GET ", location, b" ", version, b"\r\n"].concat();
    let mut add = |name: &[u8], value: &[u8]| raw.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    let Target { authority, .. } = head.parts();
    if let Some(authority) = authority {
        // Rule T4: it replaces Host.
        add(b"Host", authority);
    }
    for (name, value) in head.fields() {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if !OF_BODY.iter().any(|other| is(other)) && (authority.is_none() || !is("host")) {
            add(name, value);
        }
    }
    raw.extend_from_slice(b"\r\n");
    let redirected = RequestHead::new(raw.into());
    redirected.check(limits).map_err(|refusal| match refusal {
        Refusal::Invalid { why, .. } => wrong(&why),
        Refusal::BodyTooLarge => wrong("it has a body"),
    })?;
    Ok(redirected)
}
