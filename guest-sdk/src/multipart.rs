//! `multipart/form-data`: forms with files (RFC 7578), read as they arrive.

use std::{
    io::{self, BufRead, Read},
    str,
};

use crate::{
    Environ, Form, FormError, FormFile, Input,
    form::FORM_LIMIT,
    media_type::{self, MediaType},
};

/// The longest head of a part in bytes.
const HEAD_LIMIT: usize = 8 << 10;

/// The longest white space after a boundary in bytes.
const PADDING_LIMIT: usize = 64;

const EXPECTED: &str = "`multipart/form-data`";

/// A `multipart/form-data` body, read part by part as it arrives: uploads of any size, with constant memory.
///
/// ```
/// use wasmserve_guest::{Environ, Result, testing::call};
///
/// /// Reports how many bytes each file has.
/// fn app(environ: Environ) -> Result<String> {
///     let mut report = String::new();
///     let mut parts = environ.multipart()?;
///     while let Some(mut part) = parts.next_part()? {
///         let name = part.file_name().unwrap_or("(not a file)").to_owned();
///         let length = std::io::copy(&mut part, &mut std::io::sink())?;
///         report += &format!("{name}: {length}\n");
///     }
///     Ok(report)
/// }
///
/// let body = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nhello\r\n--x--\r\n";
/// let environ = Environ::for_test([("CONTENT_TYPE", "multipart/form-data; boundary=x")]).with_input(body);
/// assert_eq!(call(app, environ).body, b"a.txt: 5\n");
/// ```
///
/// For short forms, [`Environ::form`] is simpler.
pub struct Multipart {
    input: Input,
    /// Two dashes and the boundary, after the line end that belongs to it.
    delimiter: Vec<u8>,
    buffer: Vec<u8>,
    /// How many bytes of the buffer were consumed.
    used: usize,
    /// How many more bytes may be read.
    left: usize,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first boundary.
    Preamble,
    /// In the content of a part.
    Content,
    /// At the head of a part.
    Head,
    /// After the last boundary.
    End,
}

/// What comes next in the content.
enum Next {
    /// As many bytes of content.
    Content(usize),
    /// A boundary of this length, and whether it is the last one.
    Delimiter(usize, bool),
    /// Not decided before more bytes have arrived.
    Unknown,
}

impl Multipart {
    pub(crate) fn read(environ: &Environ) -> Result<Self, FormError> {
        let found = environ.get("CONTENT_TYPE").unwrap_or_default();
        match MediaType::parse(&found) {
            Some(media_type) if media_type.is("multipart/form-data") => Self::new(environ, &media_type, usize::MAX),
            _ => Err(FormError::MediaType { found, expected: EXPECTED }),
        }
    }

    /// Reads a whole form.
    pub(crate) fn read_form(environ: &Environ, media_type: &MediaType) -> Result<Form, FormError> {
        let mut parts = Self::new(environ, media_type, FORM_LIMIT)?;
        let (mut fields, mut files) = (Vec::new(), Vec::new());
        while let Some(part) = parts.next_part()? {
            let name = part.name.clone();
            match part.file_name.clone() {
                None => fields.push((name, part.text(FORM_LIMIT)?)),
                Some(file_name) => {
                    let content_type = part.content_type.clone();
                    let content = part.read_all(FORM_LIMIT)?;
                    // What a browser sends where the user chose no file.
                    if !file_name.is_empty() || !content.is_empty() {
                        files.push(FormFile { name, file_name, content_type, content });
                    }
                }
            }
        }
        Ok(fields.into_iter().collect::<Form>().with_files(files))
    }

    fn new(environ: &Environ, media_type: &MediaType, limit: usize) -> Result<Self, FormError> {
        if let Some(coding) = media_type::coding(environ) {
            return Err(FormError::Coding(coding));
        }
        let boundary = media_type.parameter("boundary").filter(|boundary| is_boundary(boundary));
        let boundary = boundary.ok_or(FormError::Malformed(
            "its Content-Type has no valid boundary; let the client's library set the Content-Type".into(),
        ))?;
        Ok(Self {
            input: environ.input(),
            delimiter: format!("\r\n--{boundary}").into(),
            // The first boundary may be at the very beginning, without a line end before it.
            buffer: b"\r\n".to_vec(),
            used: 0,
            left: limit,
            place: Place::Preamble,
        })
    }

    /// Returns the next part, and skips what was not read of the one before. Returns `None` after the last part. Blocks
    /// until the part's head has arrived.
    ///
    /// # Errors
    ///
    /// Fails if the body is malformed or incomplete.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>, FormError> {
        while matches!(self.place, Place::Preamble | Place::Content) {
            let length = self.content()?.len();
            self.used += length;
        }
        if self.place == Place::End {
            // Only to find out whether it is complete.
            while self.fill()? {
                self.used = self.buffer.len();
            }
            return Ok(None);
        }
        let head = self.head()?;
        self.place = Place::Content;
        let mut part = Part { name: String::new(), file_name: None, content_type: None, multipart: self };
        part.parse(&head)?;
        Ok(Some(part))
    }

    /// The content that is there, up to the next boundary. Empty at its end, where it consumes the boundary.
    fn content(&mut self) -> Result<&[u8], FormError> {
        if matches!(self.place, Place::Head | Place::End) {
            return Ok(&[]);
        }
        let length = loop {
            match self.next() {
                Next::Content(length) => break length,
                Next::Delimiter(length, is_last) => {
                    self.used += length;
                    self.place = if is_last { Place::End } else { Place::Head };
                    break 0;
                }
                Next::Unknown if self.fill()? => {}
                // The line end after the last boundary is optional.
                Next::Unknown if self.buffer[self.used..] == [&self.delimiter[..], b"--"].concat() => {
                    self.used = self.buffer.len();
                    self.place = Place::End;
                    break 0;
                }
                Next::Unknown if self.place == Place::Preamble => {
                    return Err(FormError::Malformed("the boundary of its Content-Type is not in it".into()));
                }
                Next::Unknown => return Err(FormError::Malformed("it ends without the last boundary".into())),
            }
        };
        Ok(&self.buffer[self.used..self.used + length])
    }

    fn next(&self) -> Next {
        let ahead = &self.buffer[self.used..];
        let delimiter = &self.delimiter[..];
        match ahead.iter().position(|byte| *byte == b'\r') {
            None if ahead.is_empty() => return Next::Unknown,
            None => return Next::Content(ahead.len()),
            Some(0) => {}
            Some(at) => return Next::Content(at),
        }
        // A boundary contains no line end, so the next candidate begins at the next line end at the earliest.
        let Some(rest) = ahead.strip_prefix(delimiter) else {
            return if delimiter.starts_with(ahead) { Next::Unknown } else { Next::Content(1) };
        };
        let padding = |rest: &[u8]| rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let (is_last, dashes) = if rest.starts_with(b"--") { (true, 2) } else { (false, 0) };
        let spaces = padding(&rest[dashes..]);
        let length = delimiter.len() + dashes + spaces;
        match &rest[dashes + spaces..] {
            _ if spaces > PADDING_LIMIT => Next::Content(1),
            [b'\r', b'\n', ..] => Next::Delimiter(length + 2, is_last),
            [] | [b'\r'] => Next::Unknown,
            [b'-'] if dashes + spaces == 0 => Next::Unknown,
            // A longer boundary that begins with ours.
            _ => Next::Content(1),
        }
    }

    /// The head of a part, without the empty line after it.
    fn head(&mut self) -> Result<Vec<u8>, FormError> {
        loop {
            let ahead = &self.buffer[self.used..];
            let end = if ahead.starts_with(b"\r\n") {
                Some((0, 2))
            } else {
                ahead.windows(4).position(|four| four == b"\r\n\r\n").map(|end| (end, 4))
            };
            if let Some((end, gap)) = end.filter(|(end, _)| *end <= HEAD_LIMIT) {
                let head = ahead[..end].to_vec();
                self.used += end + gap;
                return Ok(head);
            }
            if ahead.len() > HEAD_LIMIT {
                return Err(FormError::Malformed(format!("the head of a part exceeds {HEAD_LIMIT} bytes").into()));
            }
            if !self.fill()? {
                return Err(FormError::Malformed("it ends within the head of a part".into()));
            }
        }
    }

    /// Reads more into the buffer. Returns whether there was more.
    fn fill(&mut self) -> Result<bool, FormError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let chunk = self.input.fill_buf().map_err(FormError::Read)?;
        let length = chunk.len();
        if length > self.left {
            return Err(FormError::TooLarge);
        }
        self.buffer.extend_from_slice(chunk);
        self.input.consume(length);
        self.left -= length;
        Ok(length > 0)
    }
}

/// Whether this is a boundary (RFC 2046 section 5.1.1), or one with other visible characters, as some clients send it.
fn is_boundary(text: &str) -> bool {
    (1..=70).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.ends_with(' ')
}

/// A part of a [`Multipart`] body: a field or a file. It is a reader of its content.
pub struct Part<'a> {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
    multipart: &'a mut Multipart,
}

impl Part<'_> {
    /// Returns the name of the field.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the last part of the file name that the client sent, or `None` if this is not a file. Empty if the user
    /// chose no file. It contains neither slashes nor control characters, and is not `.` or `..`; but it may be the name
    /// of any file that exists already.
    pub fn file_name(&self) -> Option<&str> {
        self.file_name.as_deref()
    }

    /// Returns the type of the content, as the client declares it.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Reads the rest of the content, up to `limit` bytes.
    ///
    /// # Errors
    ///
    /// Fails if the content is longer, malformed or incomplete.
    pub fn read_all(self, limit: usize) -> Result<Vec<u8>, FormError> {
        let mut all = Vec::new();
        loop {
            let content = self.multipart.content()?;
            if content.is_empty() {
                return Ok(all);
            }
            if content.len() > limit - all.len() {
                return Err(FormError::TooLarge);
            }
            all.extend_from_slice(content);
            self.multipart.used += content.len();
        }
    }

    /// Reads the rest of the content as text, up to `limit` bytes.
    ///
    /// # Errors
    ///
    /// Fails if the content is longer, malformed or incomplete, or not UTF-8.
    pub fn text(self, limit: usize) -> Result<String, FormError> {
        let name = self.name.clone();
        let is_utf8 = self.content_type().is_none_or(|it| MediaType::parse(it).is_some_and(|it| it.is_utf8()));
        let text = String::from_utf8(self.read_all(limit)?).ok().filter(|_| is_utf8);
        text.ok_or_else(|| FormError::Malformed(format!("the field `{}` is not UTF-8", name.escape_debug()).into()))
    }

    fn parse(&mut self, head: &[u8]) -> Result<(), FormError> {
        let malformed = |why: &'static str| FormError::Malformed(why.into());
        let head = str::from_utf8(head).map_err(|_| malformed("the head of a part is not UTF-8"))?;
        let mut disposition = None;
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) =
                line.split_once(':').ok_or(malformed("the head of a part has a line without a colon"))?;
            let value = value.trim_matches([' ', '\t']);
            match &*name.to_ascii_lowercase() {
                "content-disposition" => disposition = Some(value),
                "content-type" => self.content_type = Some(value.to_owned()),
                // Deprecated by RFC 7578 section 4.7. The others leave the content as it is.
                "content-transfer-encoding"
                    if !["7bit", "8bit", "binary"].iter().any(|same| same.eq_ignore_ascii_case(value)) =>
                {
                    return Err(malformed("a part has a Content-Transfer-Encoding; send its bytes as they are"));
                }
                _ => {}
            }
        }
        let disposition = disposition.ok_or(malformed("a part has no Content-Disposition"))?;
        let (kind, rest) = disposition.split_at(disposition.find(';').unwrap_or(disposition.len()));
        let parameters = media_type::parameters(rest).filter(|_| kind.trim().eq_ignore_ascii_case("form-data"));
        let parameters = parameters.ok_or(malformed("the Content-Disposition of a part is not `form-data`"))?;
        let of = |name: &str| parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        self.name = of("name").ok_or(malformed("a part has no name"))?;
        // RFC 7578 section 4.2 forbids the extended form, but some clients send it.
        let file_name = of("filename*").and_then(|name| extended(&name)).or_else(|| of("filename"));
        self.file_name = file_name.map(|name| base_name(&name));
        Ok(())
    }
}

/// Decodes `UTF-8''caf%C3%A9` (RFC 8187 section 3.2).
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    // The form's decoder does the same, except for these two.
    let encoded = encoded.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let (name, _) = form_urlencoded::parse(encoded.as_bytes()).next()?;
    charset.eq_ignore_ascii_case("utf-8").then(|| name.into_owned())
}

/// The last part of a path of any system, without control characters.
fn base_name(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name.chars().filter(|char| !char.is_control()).collect();
    if [".", ".."].contains(&&*name) { String::new() } else { name }
}

impl Read for Part<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Part<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.multipart.content()?)
    }

    fn consume(&mut self, length: usize) {
        self.multipart.used += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReadError, Result, testing::call};

    const TYPE: &str = "multipart/form-data; boundary=AaB03x";

    fn post(content_type: &str, body: impl Into<Vec<u8>>) -> Environ {
        Environ::for_test([("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", content_type)]).with_input(body)
    }

    fn part(head: &str, content: &str) -> String {
        format!("--AaB03x\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
    }

    fn printed(body: &str) -> String {
        let form = post(TYPE, body).form().map(Form::to_string);
        form.unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn fields_and_files_are_parsed() {
        let body = [
            "a preamble\r\n",
            &part("name=\"n\"", "1"),
            &part("name=n", ""),
            &part("NAME=\"it's \\\"it\\\"\"", "2\r\n\r\n--\r\n"),
            &part("name=f; filename=\"a.txt\"\r\nContent-Type: text/plain", "content"),
            &part("name=none; filename=\"\"\r\nContent-Type: application/octet-stream", ""),
            "--AaB03x--\r\nan epilogue",
        ]
        .concat();
        let environ = post(TYPE, body);
        let form = environ.form().unwrap();
        assert_eq!(form.get_all("n"), ["1", ""]);
        assert_eq!(form.get("it's \"it\""), Some("2\r\n\r\n--\r\n"));
        let file = form.file("f").unwrap();
        assert_eq!(
            (file.file_name(), file.content_type(), file.content()),
            ("a.txt", Some("text/plain"), &b"content"[..])
        );
        assert_eq!(form.files().len(), 1);
        assert!(form.to_string().ends_with(", 'f': [<file 'a.txt', 7 bytes>]}"), "{form}");
    }

    #[test]
    fn a_boundary_is_found_wherever_the_chunks_end() {
        let content = "\r\n--AaB03\r\n--AaB03xy\r\n--AaB03x-\r\r\n-AaB03x";
        let body = [&part("name=a", content), &part("name=b", "2"), "--AaB03x-- \t\r\n"].concat();
        for size in 1..body.len() {
            let environ = post(TYPE, body.clone()).with_chunks_of(size);
            let form = environ.form().unwrap();
            assert_eq!((form.get("a"), form.get("b")), (Some(content), Some("2")), "{size}");
        }
    }

    #[test]
    fn what_was_not_read_of_a_part_is_skipped() {
        let body = [part("name=a", "12345"), part("name=b", "6"), "--AaB03x--".to_owned()].concat();
        let mut parts = post(TYPE, body).multipart().unwrap();
        let mut two = [0; 2];
        parts.next_part().unwrap().unwrap().read_exact(&mut two).unwrap();
        assert_eq!(parts.next_part().unwrap().unwrap().text(1).unwrap(), "6");
        assert!(parts.next_part().unwrap().is_none() && parts.next_part().unwrap().is_none());
    }

    #[test]
    fn a_malformed_body_is_refused_and_not_empty() {
        let whole = part("name=a", "1");
        for (body, error) in [
            ("", "the boundary of its Content-Type is not in it"),
            ("a=b", "the boundary of its Content-Type is not in it"),
            ("--AaB03x\nContent-Disposition: form-data; name=a\n\n1\n--AaB03x--\n", "the boundary of its"),
            ("--AaB03x", "the boundary of its Content-Type is not in it"),
            (&whole, "it ends without the last boundary"),
            (&format!("{whole}--AaB03x"), "it ends without the last boundary"),
            (&format!("{whole}--AaB03x-"), "it ends without the last boundary"),
            (&format!("{whole}--AaB03x\r\n"), "it ends within the head of a part"),
            ("--AaB03x\r\n\r\n1\r\n--AaB03x--", "a part has no Content-Disposition"),
            ("--AaB03x\r\nodd\r\n\r\n1\r\n--AaB03x--", "the head of a part has a line without a colon"),
            (&part("file=a", "1"), "a part has no name"),
            (&part("name=\"a", "1"), "the Content-Disposition of a part is not `form-data`"),
            (&part("name=a\r\nContent-Transfer-Encoding: base64", "MQ=="), "a part has a Content-Transfer-Encoding"),
            (
                &(part("name=a\r\nContent-Type: text/plain; charset=utf-16", "1") + "--AaB03x--"),
                "the field `a` is not UTF-8",
            ),
            (&part(&format!("name={}", "a".repeat(9_000)), "1"), "the head of a part exceeds 8192 bytes"),
        ] {
            let printed = printed(body);
            assert!(printed.contains(error), "{body:?}: {printed}");
            assert_eq!(call(|environ: Environ| environ.form().map(|_| ()), post(TYPE, body)).status, "400 Bad Request");
        }
        assert_eq!(printed("--AaB03x--"), "{}");
    }

    #[test]
    fn a_boundary_must_be_valid() {
        for content_type in
            ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a \""]
        {
            let error = post(content_type, "--\r\n").multipart().err().unwrap();
            assert!(matches!(error, FormError::Malformed(_)), "{error}");
        }
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        assert!(post(&long, "").multipart().is_err());
        let error = post("application/json", "{}").multipart().err().unwrap();
        assert_eq!(error.to_string(), "the body is `application/json`; send `multipart/form-data`");
    }

    #[test]
    fn a_truncated_body_is_a_fault() {
        for body in [part("name=a", "1"), format!("{}--AaB03x--\r\n", part("name=a", "1"))] {
            let environ = post(TYPE, body).with_read_error(ReadError::Disconnected);
            let answer = call(|environ: Environ| environ.form().map(|_| ()), environ);
            assert_eq!(answer.fault, Some(ReadError::Disconnected.to_string()));
        }
    }

    #[test]
    fn file_names_cannot_leave_a_directory() {
        for (head, expected) in [
            ("filename=\"../../etc/passwd\"", "passwd"),
            ("filename=\"C:\\fakepath\\a.txt\"", "a.txt"),
            ("filename=\"..\"", ""),
            ("filename=\"a/..\"", ""),
            ("filename=\"a\x1b[1m\"", "a[1m"),
            ("filename=\"caf\u{e9}\"", "café"),
            ("filename=\"x\"; filename*=UTF-8''caf%C3%A9%20a+b%2F..%2Fc", "c"),
            ("filename*=utf-8'en'caf%C3%A9+%26=", "café+&="),
        ] {
            let body = part(&format!("name=f; {head}"), "1") + "--AaB03x--";
            let mut parts = post(TYPE, body).multipart().unwrap();
            let part = parts.next_part().unwrap().unwrap();
            assert_eq!(part.file_name(), Some(expected), "{head}");
        }
    }

    #[test]
    fn forms_are_limited_and_streams_are_not() {
        let body = part("name=a", &"\r".repeat(FORM_LIMIT)) + "--AaB03x--";
        assert!(matches!(post(TYPE, body.clone()).form(), Err(FormError::TooLarge)));
        let app = |environ: Environ| -> Result<String> {
            let mut parts = environ.multipart()?;
            let mut part = parts.next_part()?.ok_or("no part")?;
            Ok(io::copy(&mut part, &mut io::sink())?.to_string())
        };
        assert_eq!(call(app, post(TYPE, body)).body, FORM_LIMIT.to_string().into_bytes());
        // `io::Error` carries the refusal, too.
        assert_eq!(call(app, post(TYPE, part("name=a", "1"))).status, "400 Bad Request");
    }
}
