//! Octets.

use std::{
    borrow::Cow,
    fmt::{self, Debug, Display, Formatter, Write},
    ops::Deref,
    str::{self, FromStr, Utf8Error},
};

/// The value of an environ variable or of a header field: octets, which nothing has decoded.
///
/// It is a `[u8]` to read from, compares with text, and prints as text.
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
    /// The value as UTF-8, which it may not be.
    ///
    /// ```
    /// # use wasmserve_guest::Value;
    /// assert_eq!(Value::from("café").to_str(), Ok("café"));
    /// assert!(Value::from(b"caf\xe9").to_str().is_err());
    /// ```
    pub fn to_str(&self) -> Result<&str, Utf8Error> {
        str::from_utf8(&self.0)
    }

    /// The value as Latin-1: the "native string" of PEP 3333, in which every octet is one character.
    ///
    /// ```
    /// # use wasmserve_guest::Value;
    /// assert_eq!(Value::from(b"caf\xe9").latin1(), "café");
    /// ```
    pub fn latin1(&self) -> String {
        self.0.iter().copied().map(char::from).collect()
    }

    /// What `T` reads from the value, if it is text and `T` can: a number, for example. White space is not taken away.
    ///
    /// ```
    /// # use wasmserve_guest::Value;
    /// assert_eq!(Value::from("42").parse(), Some(42));
    /// assert_eq!(Value::from("many").parse::<u32>(), None);
    /// ```
    pub fn parse<T: FromStr>(&self) -> Option<T> {
        self.to_str().ok()?.parse().ok()
    }

    /// The octets.
    ///
    /// ```
    /// # use wasmserve_guest::Value;
    /// assert_eq!(Value::from("GET").into_bytes(), b"GET");
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

/// As UTF-8, with `�` for what is not.
impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self))
    }
}

/// In quotes, with all but printable ASCII escaped.
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
    fn from(octets: Vec<u8>) -> Self {
        Self(Cow::Owned(octets))
    }
}

impl From<&'static [u8]> for Value {
    fn from(octets: &'static [u8]) -> Self {
        Self(Cow::Borrowed(octets))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Value {
    fn from(octets: &'static [u8; N]) -> Self {
        Self::from(octets.as_slice())
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
