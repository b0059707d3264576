//! The value of a variable or a header field.

use std::{
    borrow::Cow,
    fmt::{self, Debug, Display, Formatter, Write},
    ops::Deref,
    str::{self, FromStr, Utf8Error},
};

/// The value of an environ variable or a header field: bytes that were not decoded.
///
/// It dereferences to `[u8]`, compares with `str`, and displays as text.
///
/// ```
/// # use wasmserve_guest::Value;
/// let value = Value::from(b"caf\xe9");
/// assert_eq!(value.len(), 4);
/// assert_eq!(value.latin1(), "café");
/// assert_eq!(format!("{value} {value:?}"), r#"caf� "caf\xe9""#);
/// assert!(Value::from("GET") == "GET");
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Cow<'static, [u8]>);

impl Value {
    /// Returns the value as text.
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
        str::from_utf8(&self.0)
    }

    /// Decodes the value as Latin-1, in which every byte is one character: the "native string" of PEP 3333.
    ///
    /// ```
    /// # use wasmserve_guest::Value;
    /// assert_eq!(Value::from(b"caf\xe9").latin1(), "café");
    /// ```
    pub fn latin1(&self) -> String {
        self.0.iter().copied().map(char::from).collect()
    }

    /// Parses the value, for example as a number. Returns `None` if it is not UTF-8 or does not parse. Does not trim
    /// white space.
    ///
    /// ```
    /// # use wasmserve_guest::Value;
    /// assert_eq!(Value::from("42").parse(), Some(42));
    /// assert_eq!(Value::from("many").parse::<u32>(), None);
    /// ```
    pub fn parse<T: FromStr>(&self) -> Option<T> {
        self.to_str().ok()?.parse().ok()
    }

    /// Converts the value into its bytes.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("PATH_INFO", "/files/a")]);
    /// let mut path = environ.path().into_bytes();
    /// path.push(b'/');
    /// assert_eq!(path, b"/files/a/");
    /// ```
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_owned()
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// As UTF-8, with `�` for invalid sequences.
impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self))
    }
}

/// In quotes, with everything but printable ASCII escaped.
impl Debug for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        Display::fmt(&self.escape_ascii(), f)?;
        f.write_char('"')
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        **self == *other.as_bytes()
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl From<&'static [u8]> for Value {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Value {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::from(text.as_bytes())
    }
}
