//! Forms and query strings.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Display, Formatter, Write},
};

/// Parses a query string or an urlencoded form like Python's `urllib.parse.parse_qs`: every name has a list of values,
/// because names may repeat, and blank values are dropped.
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

/// The result of [`parse_qs`]: names, each with a list of values, in the order in which the names first appear.
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

    /// Whether the form has no names.
    ///
    /// ```
    /// # use wasmserve_guest::parse_qs;
    /// assert!(parse_qs("a=").is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
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
        Self { fields }
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
}
