//! The output of a CGI program (RFC 3875 section 6): a head, an empty line, and the body.

use std::fmt;

use crate::{
    escape::escape,
    field::{self, Field},
};

/// Reads the head of a CGI program's output as it arrives.
#[derive(Debug)]
pub struct HeadReader {
    bytes: Vec<u8>,
    limit: usize,
}

/// The head of a CGI program's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The response that follows from it.
    pub response: Response,
    /// The part of the body that arrived with the head.
    pub rest: Vec<u8>,
}

/// What a CGI program asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// A document, or a redirect of the client (sections 6.2.1, 6.2.3 and 6.2.4).
    Document {
        /// The status line, such as `200 OK`.
        status: String,
        /// The fields other than `Status`, without those of the connection.
        fields: Vec<Field>,
    },
    /// The response to another request: a GET of this path and query (section 6.2.2).
    LocalRedirect(Vec<u8>),
}

/// What is wrong with a head. The text is for the program's author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadError(String);

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a head begins, for messages that say what was expected.
const EXAMPLE: &str = "print `Content-Type: text/plain` and an empty line first";

/// Fields that a program without a parser in front of it (`nph-`) may print for the connection, which is ours.
const OF_CONNECTION: [&str; 3] = ["connection", "keep-alive", "proxy-connection"];

impl HeadReader {
    /// A reader that accepts at most `limit` bytes before the end of the head.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    /// Takes the next bytes, and returns the head once it is complete. Must not be called after that.
    ///
    /// # Errors
    ///
    /// The head is malformed or too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Head>, HeadError> {
        // The line that was incomplete so far may end in these bytes.
        let mut start = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.bytes.extend_from_slice(bytes);
        while let Some(length) = self.bytes[start..].iter().position(|byte| *byte == b'\n') {
            let end = start + length + 1;
            if without_end(&self.bytes[start..end]).is_empty() {
                let rest = self.bytes.split_off(end);
                self.bytes.truncate(start);
                return Ok(Some(Head { response: parse(&self.bytes)?, rest }));
            }
            if start == 0 {
                // A program that prints no head at all is reported with its first line.
                check_first_line(without_end(&self.bytes[..end]))?;
            }
            start = end;
        }
        if self.bytes.len() > self.limit {
            return Err(HeadError(format!("its head has no end within {} bytes; {EXAMPLE}", self.limit)));
        }
        Ok(None)
    }

    /// What is wrong with an output that ended before its head, which may be empty.
    #[must_use]
    pub fn end(&self) -> HeadError {
        HeadError(if self.bytes.is_empty() {
            format!("it printed nothing; {EXAMPLE}")
        } else {
            "its output ended within the head; print an empty line after the last field".to_owned()
        })
    }
}

/// Removes LF or CRLF (section 6.3: the gateway must accept what the system uses as a line end).
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether this is the status line of a response without a parser in front of it (section 5).
fn is_status_line(line: &[u8]) -> bool {
    line.starts_with(b"HTTP/1.")
}

fn check_first_line(line: &[u8]) -> Result<(), HeadError> {
    if is_status_line(line) { Ok(()) } else { split(line).map(drop) }
}

fn parse(head: &[u8]) -> Result<Response, HeadError> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').map(without_end).peekable();
    let mut status = None;
    if let Some(line) = lines.next_if(|line| is_status_line(line)) {
        let rest = line.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or_default();
        status = Some(text(rest));
    }
    let (mut location, mut fields) = (None, Vec::<Field>::new());
    for line in lines {
        let (name, value) = split(line)?;
        let once = |earlier: bool| {
            if earlier { Err(HeadError(format!("its head has more than one `{name}`"))) } else { Ok(()) }
        };
        match name.to_ascii_lowercase().as_str() {
            "status" => {
                once(status.is_some())?;
                status = Some(text(value));
            }
            "location" => {
                once(location.is_some())?;
                location = Some(value.to_vec());
                fields.push((name.to_owned(), value.to_vec()));
            }
            "content-type" | "content-length" => {
                once(fields.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)))?;
                fields.push((name.to_owned(), value.to_vec()));
            }
            other if OF_CONNECTION.contains(&other) => {}
            _ => fields.push((name.to_owned(), value.to_vec())),
        }
    }
    if status.is_none() && fields.is_empty() {
        return Err(HeadError(format!("its output begins with an empty line; {EXAMPLE}")));
    }
    match location {
        Some(path) if status.is_none() && path.starts_with(b"/") && !path.starts_with(b"//") => {
            Ok(Response::LocalRedirect(path))
        }
        Some(_) => Ok(Response::Document { status: status.unwrap_or_else(|| "302 Found".to_owned()), fields }),
        None => Ok(Response::Document { status: status.unwrap_or_else(|| "200 OK".to_owned()), fields }),
    }
}

fn split(line: &[u8]) -> Result<(&str, &[u8]), HeadError> {
    let wrong = |why: &str| HeadError(format!("a line of its head {why}: `{}`; {EXAMPLE}", escape(shortened(line))));
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| wrong("has no colon"))?;
    let (name, value) = (&line[..colon], field::trim(&line[colon + 1..]));
    match std::str::from_utf8(name) {
        Ok(name) if field::is_token(name.as_bytes()) => Ok((name, value)),
        _ => Err(wrong("does not begin with the name of a field")),
    }
}

/// Enough of a line to recognize it.
fn shortened(line: &[u8]) -> &[u8] {
    &line[..line.len().min(80)]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(field::trim(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Result<Head, String> {
        let mut reader = HeadReader::new(200);
        match reader.push(output.as_bytes()) {
            Ok(Some(head)) => Ok(head),
            Ok(None) => Err(reader.end().to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A response on one line.
    fn shown(output: &str) -> String {
        match read(output) {
            Err(why) => why,
            Ok(Head { response: Response::LocalRedirect(path), .. }) => format!("-> {}", path.escape_ascii()),
            Ok(Head { response: Response::Document { status, fields }, rest }) => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| format!("|{name}: {}", value.escape_ascii())).collect();
                format!("{status}{}|{}", fields.concat(), rest.escape_ascii())
            }
        }
    }

    #[test]
    fn rfc3875_6_the_response_follows_from_the_head() {
        for (output, expected) in [
            ("Content-Type: text/plain\n\nhi\n", "200 OK|Content-Type: text/plain|hi\\n"),
            ("Content-Type:text/plain\r\n\r\nhi", "200 OK|Content-Type: text/plain|hi"),
            ("Content-Type: a/b\r\n\nhi", "200 OK|Content-Type: a/b|hi"),
            ("status: 404 Not Found\nX-A: 1\nX-A: 2\n\n", "404 Not Found|X-A: 1|X-A: 2|"),
            ("Status: 204\n\n", "204|"),
            ("Location: http://a/\n\n", "302 Found|Location: http://a/|"),
            ("Location: //a/b\n\n", "302 Found|Location: //a/b|"),
            ("Location: /a?b\n\n", "-> /a?b"),
            ("Location: /a?b\nContent-Type: a/b\n\nignored", "-> /a?b"),
            ("Status: 301 Moved\nLocation: /a\n\n", "301 Moved|Location: /a|"),
            ("HTTP/1.1 201 Made\r\nKeep-Alive: s\r\nConnection: close\r\nX-A: 1\r\n\r\nhi", "201 Made|X-A: 1|hi"),
            ("HTTP/1.0 200\n\n", "200|"),
        ] {
            assert_eq!(shown(output), expected, "{output:?}");
        }
    }

    #[test]
    fn a_head_that_is_none_is_explained() {
        let remedy = "print `Content-Type: text/plain` and an empty line first";
        for (output, expected) in [
            ("", format!("it printed nothing; {remedy}")),
            ("\nhi\n", format!("its output begins with an empty line; {remedy}")),
            ("Hello, World!\n", format!("a line of its head has no colon: `Hello, World!`; {remedy}")),
            ("A: b\nhi\n\n", format!("a line of its head has no colon: `hi`; {remedy}")),
            ("A b: c\n\n", format!("a line of its head does not begin with the name of a field: `A b: c`; {remedy}")),
            (" A: b\n\n", format!("a line of its head does not begin with the name of a field: ` A: b`; {remedy}")),
            ("A: b\n", "its output ended within the head; print an empty line after the last field".to_owned()),
            ("A: b", "its output ended within the head; print an empty line after the last field".to_owned()),
            ("Status: 200\nStatus: 201\n\n", "its head has more than one `Status`".to_owned()),
            ("Content-Type: a/b\ncontent-type: a/b\n\n", "its head has more than one `content-type`".to_owned()),
        ] {
            assert_eq!(shown(output), expected, "{output:?}");
        }
        let endless = "A: b\n".repeat(100);
        assert_eq!(shown(&endless), format!("its head has no end within 200 bytes; {remedy}"));
    }

    #[test]
    fn it_does_not_matter_where_the_output_is_split() {
        let output = "Status: 201 Made\r\nX-A: 1\n\r\nbody\n\nmore";
        let whole = read(output).expect("the head is complete");
        for cut in 0..=output.len() {
            let mut reader = HeadReader::new(200);
            let (first, second) = output.split_at(cut);
            let head = match reader.push(first.as_bytes()).expect("the head is valid") {
                Some(mut head) => {
                    head.rest.extend(second.bytes());
                    head
                }
                None => reader.push(second.as_bytes()).expect("the head is valid").expect("the head is complete"),
            };
            assert_eq!(head, whole, "{cut}");
        }
    }
}
