//! Forms and query strings.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    error::Error,
    fmt::{self, Debug, Display, Formatter, Write},
    io::{self, ErrorKind},
};

use crate::{
    Environ, Multipart, Refusal, Value,
    media_type::{self, MediaType},
};

/// The longest form in bytes. For longer ones, there is [`Multipart`].
pub(crate) const FORM_LIMIT: usize = 1 << 20;

const EXPECTED: &str = "`application/x-www-form-urlencoded` or `multipart/form-data`, in UTF-8";

/// Reads the body of a form post.
pub(crate) fn read(environ: &Environ) -> Result<Form, FormError> {
    let found = environ.get("CONTENT_TYPE").unwrap_or_default();
    let media_type = MediaType::parse(&found).filter(MediaType::is_utf8);
    let is_typed = !found.is_empty();
    match media_type {
        Some(media_type) if media_type.is("multipart/form-data") => Multipart::read_form(environ, &media_type),
        Some(media_type) if media_type.is("application/x-www-form-urlencoded") || !is_typed => {
            if let Some(coding) = media_type::coding(environ) {
                return Err(FormError::Coding(coding));
            }
            let body = environ.whole_body(FORM_LIMIT).map_err(FormError::from_io)?;
            match is_something_else(&body) {
                false if is_typed || could_be_form(&body) => Ok(parse_qs(body)),
                true if is_typed => Err(FormError::Malformed(
                    "it is not urlencoded; send it with the `Content-Type` that it has".into(),
                )),
                _ => Err(FormError::MediaType { found, expected: EXPECTED }),
            }
        }
        _ => Err(FormError::MediaType { found, expected: EXPECTED }),
    }
}

/// Whether a body is JSON, XML or `multipart/form-data`, whatever its `Content-Type` says: `curl -d` and others declare
/// every body as a form.
fn is_something_else(body: &[u8]) -> bool {
    match body.trim_ascii() {
        [b'{', .., b'}'] | [b'[', .., b']'] | [b'<', .., b'>'] => true,
        [b'-', b'-', rest @ ..] => rest.windows(2).any(|two| two == b"\r\n"),
        _ => false,
    }
}

/// Whether a body without a `Content-Type` looks like a form.
fn could_be_form(body: &[u8]) -> bool {
    let body = body.trim_ascii_end();
    body.is_empty() || (body.contains(&b'=') && body.iter().all(u8::is_ascii_graphic))
}

/// Parses a query string or an urlencoded form like Python's `urllib.parse.parse_qs`: every name has a list of values,
/// because names may repeat, and blank values are dropped. An invalid percent escape stays as it is, and what is not UTF-8
/// becomes `�`.
///
/// ```
/// # use wasmserve_guest::parse_qs;
/// let form = parse_qs("abc=def&n=1&n=2&blank=");
/// assert_eq!(form.get("abc"), Some("def"));
/// assert_eq!(form.get_all("n"), ["1", "2"]);
/// assert_eq!(form.to_string(), "{'abc': ['def'], 'n': ['1', '2']}");
/// ```
pub fn parse_qs(query: impl AsRef<[u8]>) -> Form {
    form_urlencoded::parse(query.as_ref())
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// Like [`parse_qs`] with `keep_blank_values=True`.
///
/// ```
/// # use wasmserve_guest::parse_qs_with_blanks;
/// assert_eq!(parse_qs_with_blanks("a=&b").to_string(), "{'a': [''], 'b': ['']}");
/// ```
pub fn parse_qs_with_blanks(query: impl AsRef<[u8]>) -> Form {
    form_urlencoded::parse(query.as_ref()).into_owned().collect()
}

/// The fields of a form: names, each with a list of values, in the order in which the names first appear. The result of
/// [`parse_qs`] and [`Environ::form`].
///
/// It displays like the corresponding dictionary in Python.
///
/// ```
/// # use wasmserve_guest::parse_qs;
/// let form = parse_qs("b=2&a=1&b=3");
/// assert_eq!(form.to_string(), "{'b': ['2', '3'], 'a': ['1']}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, Vec<String>)>,
    files: Vec<FormFile>,
}

impl Form {
    /// Returns the first value of a name.
    ///
    /// ```
    /// # use wasmserve_guest::parse_qs;
    /// assert_eq!(parse_qs("n=1&n=2").get("n"), Some("1"));
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).first().map(String::as_str)
    }

    /// Returns all values of a name in order. The list is empty if the name does not occur.
    ///
    /// ```
    /// # use wasmserve_guest::parse_qs;
    /// assert_eq!(parse_qs("n=1&n=2").get_all("n"), ["1", "2"]);
    /// ```
    pub fn get_all(&self, name: &str) -> &[String] {
        let mut fields = self.iter();
        fields.find(|(other, _)| *other == name).map_or(&[], |(_, values)| values)
    }

    /// Iterates over the names and their values.
    ///
    /// ```
    /// # use wasmserve_guest::parse_qs;
    /// let form = parse_qs("b=2&a=1&b=3");
    /// let names: Vec<&str> = form.iter().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["b", "a"]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        let fields = self.fields.iter();
        fields.map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// Returns the first file of a name. Only `multipart/form-data` has files.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let body = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nhello\r\n--x--\r\n";
    /// let environ = Environ::for_test([("CONTENT_TYPE", "multipart/form-data; boundary=x")]).with_input(body);
    /// let file = environ.form()?.file("f").ok_or("no file")?;
    /// assert_eq!((file.file_name(), file.content()), ("a.txt", &b"hello"[..]));
    /// # Ok::<_, wasmserve_guest::Error>(())
    /// ```
    pub fn file(&self, name: &str) -> Option<&FormFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Returns all files in order.
    ///
    /// ```
    /// # use wasmserve_guest::parse_qs;
    /// assert!(parse_qs("a=1").files().is_empty());
    /// ```
    pub fn files(&self) -> &[FormFile] {
        &self.files
    }

    pub(crate) fn with_files(self, files: Vec<FormFile>) -> Self {
        Self { files, ..self }
    }

    /// Whether the form has neither names nor files.
    ///
    /// ```
    /// # use wasmserve_guest::parse_qs;
    /// assert!(parse_qs("a=").is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.files.is_empty()
    }
}

/// A file in a [`Form`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormFile {
    pub(crate) name: String,
    pub(crate) file_name: String,
    pub(crate) content_type: Option<String>,
    pub(crate) content: Vec<u8>,
}

impl FormFile {
    /// Returns the name of the field.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the last part of the file name that the client sent: see [`Part::file_name`](crate::Part::file_name).
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Returns the type of the content, as the client declares it.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Returns the content.
    pub fn content(&self) -> &[u8] {
        &self.content
    }
}

/// Why a request body is not a form; see [`Environ::form`] and [`Environ::multipart`].
///
/// ```
/// # use wasmserve_guest::Environ;
/// let error = Environ::for_test([("CONTENT_TYPE", "multipart/form-data")]).with_input("a=b").form().unwrap_err();
/// assert!(error.to_string().starts_with("the body is malformed: its Content-Type has no valid boundary"));
/// assert_eq!(error.refusal().unwrap().status(), "400 Bad Request");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum FormError {
    /// 415: the `Content-Type` is missing, or is not that of a form.
    #[non_exhaustive]
    MediaType {
        /// The `Content-Type`; empty if it is missing.
        found: Value,
        /// The types that were expected.
        expected: &'static str,
    },
    /// 415: the body is compressed.
    Coding(Value),
    /// 413: the body is longer than 1 MiB, or a part of it longer than its limit.
    TooLarge,
    /// 400: the body is not of the declared type. The text says why.
    Malformed(Cow<'static, str>),
    /// The body could not be read. The host decides about the response.
    Read(io::Error),
}

impl FormError {
    pub(crate) fn from_io(error: io::Error) -> Self {
        if crate::input::is_beyond_limit(&error) { Self::TooLarge } else { Self::Read(error) }
    }

    /// Returns the response for the client, unless the body could not be read.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let error = Environ::for_test([("CONTENT_TYPE", "text/plain")]).form().unwrap_err();
    /// assert_eq!(error.refusal().unwrap().status(), "415 Unsupported Media Type");
    /// ```
    pub fn refusal(&self) -> Option<Refusal> {
        let status = match self {
            Self::MediaType { .. } | Self::Coding(_) => 415,
            Self::TooLarge => 413,
            Self::Malformed(_) => 400,
            Self::Read(_) => return None,
        };
        Some(Refusal::new(status, self.to_string()))
    }
}

impl Display for FormError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType { found, expected } if found.is_empty() => {
                write!(f, "the body has no Content-Type; send {expected}")
            }
            Self::MediaType { found, expected } => {
                write!(f, "the body is `{}`; send {expected}", found.as_bytes().escape_ascii())
            }
            Self::Coding(coding) => write_coding(f, coding),
            Self::TooLarge => f.write_str("the body or a part of it is too long"),
            Self::Malformed(why) => write!(f, "the body is malformed: {why}"),
            Self::Read(error) => Display::fmt(error, f),
        }
    }
}

/// Writes why a compressed body is refused.
pub(crate) fn write_coding(f: &mut Formatter<'_>, coding: &Value) -> fmt::Result {
    write!(f, "the body is compressed with `{}`; send it without Content-Encoding", coding.as_bytes().escape_ascii())
}

impl Error for FormError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            _ => None,
        }
    }
}

impl From<FormError> for io::Error {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Read(error) => error,
            _ => Self::new(ErrorKind::InvalidData, error),
        }
    }
}

impl FromIterator<(String, String)> for Form {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let mut fields: Vec<(String, Vec<String>)> = Vec::new();
        // Not a `HashMap`, which would request random numbers from the host.
        let mut places = BTreeMap::new();
        for (name, value) in pairs {
            match places.get(&name) {
                Some(&place) => {
                    let (_, values): &mut (_, Vec<_>) = &mut fields[place];
                    values.push(value);
                }
                None => {
                    places.insert(name.clone(), fields.len());
                    fields.push((name, vec![value]));
                }
            }
        }
        Self { fields, files: Vec::new() }
    }
}

/// Like a dictionary in Python: `{'abc': ['def']}`.
impl Display for Form {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (place, (name, values)) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{}: [", Repr(name))?;
            for (place, value) in values.iter().enumerate() {
                let comma = if place == 0 { "" } else { ", " };
                write!(f, "{comma}{}", Repr(value))?;
            }
            f.write_char(']')?;
        }
        for (place, file) in self.files.iter().enumerate() {
            let comma = if place == 0 && self.fields.is_empty() { "" } else { ", " };
            let (name, length) = (Repr(&file.file_name), file.content.len());
            write!(f, "{comma}{}: [<file {name}, {length} bytes>]", Repr(&file.name))?;
        }
        f.write_char('}')
    }
}

/// Displays a string like Python's `repr`.
struct Repr<'a>(&'a str);

impl Display for Repr<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let quote = match (self.0.contains('\''), self.0.contains('"')) {
            (true, false) => '"',
            _ => '\'',
        };
        f.write_char(quote)?;
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str(r"\\"),
                '\n' => f.write_str(r"\n"),
                '\r' => f.write_str(r"\r"),
                '\t' => f.write_str(r"\t"),
                ' ' => f.write_char(' '),
                _ if character == quote => write!(f, r"\{character}"),
                _ if character.is_control() || character.is_whitespace() => match u32::from(character) {
                    code @ ..=0xff => write!(f, r"\x{code:02x}"),
                    code => write!(f, r"\u{code:04x}"),
                },
                _ => f.write_char(character),
            }?;
        }
        f.write_char(quote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_parse_like_in_python() {
        for (query, printed) in [
            ("abc=def", "{'abc': ['def']}"),
            ("", "{}"),
            ("&&", "{}"),
            ("a", "{}"),
            ("a=&b=1", "{'b': ['1']}"),
            ("=v", "{'': ['v']}"),
            ("b=1&a=2&b=3", "{'b': ['1', '3'], 'a': ['2']}"),
            ("a=b=c", "{'a': ['b=c']}"),
            ("a=1;b=2", "{'a': ['1;b=2']}"),
            ("a+b=c%20d%2B", "{'a b': ['c d+']}"),
            ("q=%C3%A9&l=%E9&p=%zz", "{'q': ['é'], 'l': ['\u{fffd}'], 'p': ['%zz']}"),
        ] {
            assert_eq!(parse_qs(query).to_string(), printed, "{query}");
        }
    }

    #[test]
    fn strings_print_like_in_python() {
        for (text, printed) in [
            ("it's", r#""it's""#),
            (r#"it's "it""#, r#"'it\'s "it"'"#),
            ("a\\b\r\n\t", r"'a\\b\r\n\t'"),
            ("\0\x1b[1m\x7f\u{85}\u{a0}\u{2028}", r"'\x00\x1b[1m\x7f\x85\xa0\u2028'"),
            ("é✓😀", "'é✓😀'"),
        ] {
            assert_eq!(Repr(text).to_string(), printed);
        }
    }

    #[test]
    fn only_forms_are_taken_for_forms() {
        const FORM: &str = "application/x-www-form-urlencoded";
        for (content_type, body, expected) in [
            (FORM, "a=1", "{'a': ['1']}"),
            ("Application/X-WWW-Form-URLEncoded ; charset=\"UTF-8\"", "a=%C3%A9", "{'a': ['é']}"),
            (FORM, "", "{}"),
            ("", "", "{}"),
            ("", "a=1&b=%7B\r\n", "{'a': ['1'], 'b': ['{\\r\\n']}"),
            ("application/x-www-form-urlencoded; charset=iso-8859-1", "a=%E9", "415"),
            ("application/json", "{\"a\": 1}", "415"),
            ("text/plain", "a=1", "415"),
            ("application/x-www-form-urlencodedx", "a=1", "415"),
            ("", "{\"a\":\"b=c\"}", "415"),
            ("", "[1,2]", "415"),
            ("", "just text", "415"),
            ("", "<a b=\"c\"/>", "415"),
            ("", "a=\u{0}", "415"),
            (FORM, "{\"a\":\"b=c\"}", "400"),
            (FORM, " [{\"a\": 1}]\n", "400"),
            (FORM, "<a>1</a>", "400"),
            (FORM, "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--", "400"),
        ] {
            let environ = Environ::for_test([("CONTENT_TYPE", content_type)]).with_input(body);
            match environ.form() {
                Ok(form) => assert_eq!(form.to_string(), expected, "{content_type}: {body}"),
                Err(error) => {
                    let refusal = error.refusal().expect("the body can be read");
                    assert!(refusal.status().starts_with(expected), "{content_type}: {body}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_body_that_was_read_before_is_a_fault_and_not_an_empty_form() {
        let app = |environ: Environ| -> crate::Result<String> {
            environ.input().read_all(100)?;
            Ok(environ.form()?.to_string())
        };
        let answer = crate::testing::call(app, Environ::for_test([]).with_input("a=b"));
        assert_eq!(answer.fault.as_deref(), Some("the request body was read before"));
    }

    #[test]
    fn a_compressed_form_is_refused() {
        for content_type in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let environ = Environ::for_test([("CONTENT_TYPE", content_type), ("HTTP_CONTENT_ENCODING", "gzip")]);
            let error = environ.form().unwrap_err();
            assert_eq!(error.to_string(), "the body is compressed with `gzip`; send it without Content-Encoding");
        }
    }

    #[test]
    fn a_form_can_be_asked_for_again_and_outlives_the_call() {
        let environ = Environ::for_test([("QUERY_STRING", "q=1"), ("HTTP_COOKIE", "c=2")]).with_input("f=3");
        let query = environ.query().get("q").unwrap_or("");
        let cookie = environ.cookies().get("c").unwrap_or("");
        let form = environ.form().unwrap().get("f").unwrap_or("");
        let again = environ.form().unwrap().get("f").unwrap_or("");
        let header = environ.header("x").unwrap_or("");
        assert_eq!([query, cookie, form, again, header], ["1", "2", "3", "3", ""]);
    }

    #[test]
    fn a_form_that_is_too_long_is_413() {
        let environ = Environ::for_test([]).with_input(vec![b'='; FORM_LIMIT + 1]);
        assert!(environ.form().is_err_and(|error| error.refusal().is_some_and(|it| it.status().starts_with("413"))));
    }
}
