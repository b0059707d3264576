//! The options of a filter.

use std::{cell::RefCell, fmt, str::FromStr, time::Duration};

use crate::{Error, Result};

/// The options that the user gave a filter: `--wrap FILTER,NAME=VALUE,NAME`. Options that the filter does not ask for are
/// refused when the server starts.
pub struct Options {
    given: Vec<(String, String)>,
    /// The names that the filter has asked for.
    known: RefCell<Vec<String>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values may be secrets.
        f.debug_list().entries(self.given.iter().map(|(name, _)| name)).finish()
    }
}

impl Options {
    pub(crate) fn new(given: Vec<(String, String)>) -> Self {
        Self { given, known: RefCell::default() }
    }

    /// All values of an option that may be given several times, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let mut known = self.known.borrow_mut();
        if !known.iter().any(|other| other == name) {
            known.push(name.to_owned());
        }
        self.given.iter().filter(move |(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// The value of an option; the last one, if it was given several times.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).last()
    }

    /// Whether an option without a value was given: `--wrap FILTER,NAME`.
    ///
    /// # Errors
    ///
    /// It was given with a value other than `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(format!("`{name}` takes no value, not `{other}`").into()),
        }
    }

    /// The value of an option as a number, or as any other type that is made from a text.
    ///
    /// # Errors
    ///
    /// It is not one.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<Option<T>>
    where
        T::Err: fmt::Display,
    {
        let parse = |value: &str| value.parse().map_err(|why| format!("`{name}` cannot be `{value}`: {why}").into());
        self.get(name).map(parse).transpose()
    }

    /// The value of an option as a duration: a number with `ms`, `s` or `m`, such as `1.5s`.
    ///
    /// # Errors
    ///
    /// It is not one.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>> {
        let parse = |value| duration(value).ok_or_else(|| not_a_duration(name, value));
        self.get(name).map(parse).transpose()
    }

    /// Parses a number with its unit: `ms`, `s`, `m` or `h`. `None` if it is not one.
    pub fn parse_duration(text: &str) -> Option<Duration> {
        duration(text)
    }

    /// A text with the name of an option that the filter has not asked for, and of those that it has.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let known = self.known.borrow();
        let Some((unknown, _)) = self.given.iter().find(|(name, _)| !known.contains(name)) else { return Ok(()) };
        Err(match &known[..] {
            [] => format!("it has no options, and so no `{unknown}`"),
            known => format!("it has no option `{unknown}`, but {}", known.join(", ")),
        })
    }
}

fn not_a_duration(name: &str, value: &str) -> Error {
    format!("`{name}` cannot be `{value}`: write a duration with its unit, as in 200ms or 1.5s").into()
}

/// Parses a number with its unit.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let at = text.find(|char: char| !(char.is_ascii_digit() || char == '.'))?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit.trim_start() {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[(&str, &str)]) -> Options {
        Options::new(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn options_that_the_filter_does_not_ask_for_are_refused() {
        let options = options(&[("delay", "1s"), ("dely", "1s")]);
        assert_eq!(options.duration("delay").unwrap(), Some(Duration::from_secs(1)));
        assert_eq!(options.get("rate"), None);
        assert_eq!(options.check(), Err("it has no option `dely`, but delay, rate".to_owned()));
        options.get("dely");
        assert_eq!(options.check(), Ok(()));
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_would_be_right() {
        let options = options(&[("delay", "5"), ("credentials", "yes"), ("count", "many")]);
        let why = |error: Error| error.to_string();
        let delay = options.duration("delay").map_err(why);
        assert_eq!(delay, Err("`delay` cannot be `5`: write a duration with its unit, as in 200ms or 1.5s".into()));
        assert_eq!(options.flag("credentials").map_err(why), Err("`credentials` takes no value, not `yes`".into()));
        let count = options.parse::<u32>("count").map_err(why);
        assert_eq!(count, Err("`count` cannot be `many`: invalid digit found in string".into()));
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [
            ("200ms", Some(Duration::from_millis(200))),
            ("1.5s", Some(Duration::from_millis(1500))),
            ("2m", Some(Duration::from_secs(120))),
            ("0s", Some(Duration::ZERO)),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1e9s", None),
            ("", None),
        ] {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }
}
