//! The value of a variable or a header field.

use std::{
    borrow::Cow,
    fmt::{self, Debug, Display, Formatter, Write},
    ops::Deref,
    str::{self, Utf8Error},
};

/// The value of an environ variable or a header field: bytes that were not decoded, and that read like text.
///
/// It dereferences to `str`, so it has all the methods of text, and it compares with text from both sides. If the bytes
/// are not UTF-8, the text has `�` for invalid sequences. [`as_bytes`](Self::as_bytes) and comparisons see the bytes
/// themselves.
///
/// ```
/// # use wasmserve_guest::Value;
/// let signature = Value::from("sha256=1f");
/// assert_eq!(signature.strip_prefix("sha256="), Some("1f"));
/// assert!(signature == "sha256=1f" && "sha256=1f" == signature);
///
/// let value = Value::from(b"caf\xe9");
/// assert_eq!(value.as_bytes().len(), 4);
/// assert_eq!(value.latin1(), "café");
/// assert_eq!(format!("{value} {value:?}"), r#"caf� "caf\xe9""#);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    text: Cow<'static, str>,
    /// The bytes, if they are not UTF-8.
    bytes: Option<Box<[u8]>>,
}

impl Value {
    /// A value that is known at compile time, and so need not be copied.
    pub(crate) const fn from_static(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), bytes: None }
    }

    /// Returns the value as text, with `�` for sequences that are not UTF-8.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("wsgi.url_scheme", "https")]);
    /// let port = match environ.get("wsgi.url_scheme").unwrap_or_default().as_str() {
    ///     "https" => 443,
    ///     _ => 80,
    /// };
    /// assert_eq!(port, 443);
    /// ```
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the bytes.
    ///
    /// ```
    /// # use wasmserve_guest::Value;
    /// assert_eq!(Value::from(b"caf\xe9").as_bytes(), b"caf\xe9");
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// Returns the value as text, if it is UTF-8.
    ///
    /// ```
    /// # use wasmserve_guest::Value;
    /// assert_eq!(Value::from("café").to_str(), Ok("café"));
    /// assert!(Value::from(b"caf\xe9").to_str().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the value is not UTF-8.
    pub fn to_str(&self) -> Result<&str, Utf8Error> {
        self.bytes.as_deref().map_or(Ok(&self.text), str::from_utf8)
    }

    /// Decodes the value as Latin-1, in which every byte is one character: the "native string" of PEP 3333.
    ///
    /// ```
    /// # use wasmserve_guest::Value;
    /// assert_eq!(Value::from(b"caf\xe9").latin1(), "café");
    /// ```
    pub fn latin1(&self) -> String {
        self.as_bytes().iter().copied().map(char::from).collect()
    }

    /// Converts the value into its bytes.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("HTTP_X_KEY", "abc")]);
    /// assert_eq!(environ.get("HTTP_X_KEY").unwrap_or_default().into_bytes(), b"abc");
    /// ```
    pub fn into_bytes(self) -> Vec<u8> {
        match self.bytes {
            Some(bytes) => bytes.into_vec(),
            None => self.text.into_owned().into_bytes(),
        }
    }
}

impl Deref for Value {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for Value {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// As UTF-8, with `�` for invalid sequences.
impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// In quotes, with everything but printable ASCII escaped.
impl Debug for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        Display::fmt(&self.as_bytes().escape_ascii(), f)?;
        f.write_char('"')
    }
}

/// Compares bytes with those of a value, from both sides.
macro_rules! compare {
    ($($other:ty),*) => {
        $(
            impl PartialEq<$other> for Value {
                fn eq(&self, other: &$other) -> bool {
                    self.as_bytes() == AsRef::<[u8]>::as_ref(other)
                }
            }

            impl PartialEq<Value> for $other {
                fn eq(&self, other: &Value) -> bool {
                    other == self
                }
            }
        )*
    };
}

compare!(str, &str, String, [u8], &[u8], Vec<u8>);

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Self { text: text.into(), bytes: Some(error.into_bytes().into()) }
            }
        }
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self { text: text.into(), bytes: None }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

/// As UTF-8, with `�` for invalid sequences.
impl From<Value> for String {
    fn from(value: Value) -> Self {
        value.text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_like_text() {
        let value = Value::from("sha256=42");
        assert_eq!(value.strip_prefix("sha256=").and_then(|number| number.parse::<u32>().ok()), Some(42));
        assert!(matches!(value.as_str(), "sha256=42"));
        assert_eq!(value, "sha256=42");
        assert_eq!("sha256=42", value);
        assert_eq!(value, *"sha256=42");
        assert_eq!(value, String::from("sha256=42"));
        assert_eq!(value, b"sha256=42"[..]);
        assert_eq!((value.to_string(), String::from(value.clone())), ("sha256=42".to_owned(), "sha256=42".to_owned()));
        assert_eq!(Some(value).as_deref().unwrap_or(""), "sha256=42");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_kept() {
        let value = Value::from(b"a\xff");
        assert_eq!((value.as_str(), value.as_bytes()), ("a�", &b"a\xff"[..]));
        assert_ne!(value, "a�");
        assert_ne!(value, Value::from("a�"));
        assert_eq!(value, b"a\xff"[..]);
        assert_eq!(value.into_bytes(), b"a\xff");
    }
}
