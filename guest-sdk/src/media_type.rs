//! The type of a request body.

use crate::{Environ, Value};

/// A media type, with its parameters (RFC 9110 section 8.3.1).
pub(crate) struct MediaType {
    /// The type and subtype, in lower case.
    essence: String,
    /// The names, in lower case, and the values.
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Parses a `Content-Type`. Returns `None` if a parameter is malformed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (essence, rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        Some(Self { essence: essence.trim().to_ascii_lowercase(), parameters: parameters(rest)? })
    }

    pub(crate) fn is(&self, essence: &str) -> bool {
        self.essence == essence
    }

    /// Whether this is `application/json`, or a type with the suffix `+json` (RFC 6839 section 3.1).
    #[cfg(feature = "json")]
    pub(crate) fn is_json(&self) -> bool {
        self.is("application/json") || (self.essence.contains('/') && self.essence.ends_with("+json"))
    }

    /// Returns a parameter if it occurs exactly once. Its name must be in lower case.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut values = self.parameters.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether text of this type is UTF-8: its `charset` is that, a part of it, or missing.
    pub(crate) fn is_utf8(&self) -> bool {
        let is_utf8 = |name: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|known| known.eq_ignore_ascii_case(name));
        self.parameters.iter().all(|(name, value)| name != "charset" || is_utf8(value))
    }
}

/// Parses `; name=value; name="value"`. Empty parameters are ignored (RFC 9110 section 5.6.6).
pub(crate) fn parameters(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ';']);
        if text.is_empty() {
            return Some(parameters);
        }
        let (name, rest) = text.split_once('=')?;
        let value;
        (value, text) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, rest) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
                (value.trim().to_owned(), rest)
            }
        };
        text = text.trim_start_matches([' ', '\t']);
        if !text.is_empty() && !text.starts_with(';') {
            return None;
        }
        parameters.push((name.trim().to_ascii_lowercase(), value));
    }
}

/// Decodes the rest of a quoted string, and returns it with what follows it. A backslash escapes only a quote and a
/// backslash: browsers do not escape those in `C:\fakepath\a.txt`.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        match (character, next) {
            ('"', _) => return Some((value, &text[at + 1..])),
            ('\\', Some(escaped @ ('"' | '\\'))) => {
                value.push(escaped);
                characters.next();
            }
            _ => value.push(character),
        }
    }
    None
}

/// How the body is compressed, if it is: no body is decompressed here.
pub(crate) fn coding(environ: &Environ) -> Option<Value> {
    let coding = environ.get("HTTP_CONTENT_ENCODING")?;
    (!coding.is_empty() && !coding.eq_ignore_ascii_case("identity")).then_some(coding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_may_be_quoted_and_in_any_case() {
        for (text, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data;BOUNDARY=\"a b;c\"", Some("a b;c")),
            ("multipart/form-data ; charset=utf-8 ;; boundary=\"a\\\"b\" ;", Some("a\"b")),
            ("multipart/form-data; boundary = abc ", Some("abc")),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data", None),
        ] {
            let parsed = MediaType::parse(text).expect(text);
            assert!(parsed.is("multipart/form-data"), "{text}");
            assert_eq!(parsed.parameter("boundary"), expected, "{text}");
        }
        for malformed in ["a/b; boundary=\"a", "a/b; boundary", "a/b; boundary=\"a\"b"] {
            assert!(MediaType::parse(malformed).is_none(), "{malformed}");
        }
    }
}
