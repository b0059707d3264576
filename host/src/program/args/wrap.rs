//! Filters on the command line: `--wrap auth,user=alice:sesame`.

use std::{env, ffi::OsString, fs::File, io::Read as _, path::Path};

use crate::source::{
    example::FILTERS,
    filter::Wrap,
    locate::{Kind, Named},
};

/// How large a file with the value of an option may be, in bytes.
const VALUE_MAX: u64 = 64 << 10;

/// Parses a filter and its options, separated by commas. A comma in a value is doubled.
///
/// # Errors
///
/// There is no such filter, an option has no name, or its value cannot be read. The message has no value in it.
pub(super) fn parse(text: &str) -> Result<Wrap, String> {
    let mut words = words(text).into_iter();
    let named = named(&words.next().unwrap_or_default())?;
    let settings = words.map(|word| {
        let (name, value) = word.split_once('=').unwrap_or((&word, ""));
        let is_of_name = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
        if name.is_empty() || !name.chars().all(is_of_name) {
            return Err("an option has a name: write FILTER,NAME=VALUE, and `,,` for a comma in a value".to_owned());
        }
        Ok((name.to_owned(), self::value(name, value)?))
    });
    Ok(Wrap { named, settings: settings.collect::<Result<_, _>>()? })
}

/// Splits a text at its commas, except for doubled ones.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char == ',' && chars.next_if_eq(&',').is_none() {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.push(char);
        }
    }
    words
}

fn named(name: &str) -> Result<Named, String> {
    if let Some(filter) = FILTERS.iter().find(|filter| filter.name == name) {
        return Ok(Named::Example(filter));
    }
    let is_prefixed =
        Kind::ALL.iter().any(|(kind, _)| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with(':')));
    if !name.is_empty() && (name.contains(['/', '.', '\\']) || is_prefixed || Path::new(name).exists()) {
        return Ok(Named::from(OsString::from(name)));
    }
    let known: Vec<&str> = FILTERS.iter().map(|filter| filter.name).collect();
    Err(format!("there is no filter `{name}`; name a file, or one of {}", known.join(", ")))
}

/// The value of an option: as it is, or from the server's environment or a file, where others do not see it in the list of
/// processes.
fn value(name: &str, value: &str) -> Result<String, String> {
    if let Some(variable) = value.strip_prefix("env:") {
        return env::var(variable).map_err(|_| {
            format!("the value of `{name}` is in the variable `{variable}`, which is not set, or is not UTF-8")
        });
    }
    let Some(path) = value.strip_prefix("file:") else { return Ok(value.to_owned()) };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(VALUE_MAX + 1).read_to_string(&mut text));
    read.map_err(|error| format!("the value of `{name}` is in `{path}`, which cannot be read: {error}"))?;
    if text.len() as u64 > VALUE_MAX {
        return Err(format!("the value of `{name}` is in `{path}`, which is larger than 64 KiB"));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(text).map(|wrap| wrap.settings)
    }

    fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_are_separated_by_commas_and_a_doubled_comma_is_one() {
        for (text, expected) in [
            ("auth", &[][..]),
            ("auth,user=a:b=c", &[("user", "a:b=c")]),
            (
                "cors,origin=https://a,origin=https://b,credentials",
                &[("origin", "https://a"), ("origin", "https://b"), ("credentials", "")],
            ),
            ("auth,user=a:b,,c,,,realm=,,", &[("user", "a:b,c,"), ("realm", ",")]),
        ] {
            assert_eq!(settings(text), Ok(owned(expected)), "{text}");
        }
        for wrong in ["auth,", "auth,=x", "auth,a b=c"] {
            assert!(settings(wrong).is_err_and(|why| why.starts_with("an option has a name")), "{wrong}");
        }
    }

    #[test]
    fn values_come_from_variables_and_files_too() {
        let path = env::temp_dir().join(format!("wasmserve-wrap-{}", std::process::id()));
        std::fs::write(&path, "alice:sesame\nbob:x\n\n").expect("a temporary file can be written");
        let from_file = settings(&format!("auth,user=file:{}", path.display()));
        assert_eq!(from_file, Ok(owned(&[("user", "alice:sesame\nbob:x")])));
        _ = std::fs::remove_file(&path);
        assert!(
            settings(&format!("auth,user=file:{}", path.display())).is_err_and(|why| why.contains("cannot be read"))
        );
        let home = env::var("PATH").expect("there is a PATH");
        assert_eq!(settings("auth,user=env:PATH"), Ok(owned(&[("user", &home)])));
        assert!(
            settings("auth,user=env:NOT_SET_HERE").is_err_and(|why| why.contains("`NOT_SET_HERE`, which is not set"))
        );
    }

    #[test]
    fn a_filter_is_built_in_or_a_file() {
        let is_built_in = |text| parse(text).map(|wrap| matches!(wrap.named, Named::Example(_)));
        assert_eq!(is_built_in("delay-and-fail"), Ok(true));
        assert_eq!(["./auth", "auth.rs", "crate:auth"].map(is_built_in), [Ok(false), Ok(false), Ok(false)]);
        let unknown = is_built_in("gzip").expect_err("there is none");
        assert_eq!(unknown, "there is no filter `gzip`; name a file, or one of auth, cors, delay-and-fail");
    }
}
