//! Describes what is wrong with a command line, in one line.

use std::{
    error::Error as _,
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::help;
use crate::{
    base::address::PartialAddress,
    source::{locate::Named, mistake},
};

/// Formats clap's error about these words as one line: what is wrong, why, and the remedy.
pub(super) fn line(error: &clap::Error, words: &[OsString]) -> String {
    if let Some(why) = words.get(1).and_then(|first| mistyped(first)) {
        return why;
    }
    if let Some(word) = words.iter().find(|word| word.to_str().is_none())
        && error.kind() == ErrorKind::InvalidUtf8
    {
        return format!("`{}` is not UTF-8, which only names of files may be; see --help", word.display());
    }
    let all = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![&**text],
        Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let first = |kind| all(kind).first().copied().unwrap_or_default();
    let (arg, value) = (name(first(ContextKind::InvalidArg)), first(ContextKind::InvalidValue));
    let what = match error.kind() {
        ErrorKind::UnknownArgument if !arg.starts_with('-') => match address(arg) {
            Some(flag) => format!("unexpected argument `{arg}`; write {flag} to listen there"),
            None if words.get(1).is_some_and(|command| command == "test") => {
                format!("unexpected argument `{arg}`; put arguments of the tests behind --, as in `-- {arg}`")
            }
            None => format!("unexpected argument `{arg}`"),
        },
        ErrorKind::UnknownArgument if arg[1..].starts_with(|char: char| char.is_ascii_digit()) => {
            format!("there is no flag `{arg}`, and no value can be negative")
        }
        // As for `python -m http.server`.
        ErrorKind::UnknownArgument if ["-d", "--directory"].contains(&arg) => {
            return format!("there is no flag `{arg}`; name the directory alone, as in `wasmserve site/`");
        }
        ErrorKind::UnknownArgument => match first(ContextKind::SuggestedArg) {
            "" => format!("there is no flag `{arg}`"),
            like => return format!("there is no flag `{arg}`; did you mean `{like}`?"),
        },
        ErrorKind::InvalidValue => match (value, all(ContextKind::ValidValue).join(", ")) {
            ("", valid) if valid.is_empty() => format!("{arg} needs a value"),
            ("", valid) => format!("{arg} needs a value: one of {valid}"),
            (_, valid) => return format!("{arg} cannot be `{value}`: it must be one of {valid}"),
        },
        ErrorKind::ValueValidation => match error.source() {
            Some(why) => return format!("{arg} cannot be `{value}`: {why}"),
            None => format!("{arg} cannot be `{value}`"),
        },
        ErrorKind::TooManyValues => format!("{arg} takes no value, but `{value}` was given"),
        ErrorKind::MissingRequiredArgument => match all(ContextKind::InvalidArg)[..] {
            ["<HANDLER>"] => return NO_HANDLER.to_owned(),
            ["<NAME>"] => "no name given; name the new handler, as in `wasmserve new hello`".to_owned(),
            ["<SOURCE>"] => {
                let command = words.get(1).map_or("build".into(), |command| command.to_string_lossy());
                format!("no source given; name a Rust file or a crate, as in `wasmserve {command} hello.rs`")
            }
            ["<SHELL>"] => "no shell given; name one, as in `wasmserve completions bash`".to_owned(),
            ["<HANDLER.WASM>"] => "no component given; name one, as in `wasmserve inspect hello.wasm`".to_owned(),
            ref missing => format!("{} is missing", missing.join(" ")),
        },
        ErrorKind::ArgumentConflict => match (first(ContextKind::InvalidSubcommand), first(ContextKind::PriorArg)) {
            ("", other) if other.is_empty() || name(other) == arg => format!("{arg} can be given only once"),
            ("", other) => format!("{arg} and {} cannot be used together", name(other)),
            (word, _) if help::is_command(word) => format!("`{word}` is a command; put it before all flags"),
            (word, _) => match address(word) {
                Some(flag) => format!("unexpected argument `{word}` after the handler; write {flag} to listen there"),
                None => format!(
                    "unexpected argument `{word}` after the handler; add a second handler with --mount PATH=HANDLER"
                ),
            },
        },
        _ => in_one_line(&error.render().to_string()),
    };
    format!("{what}; see --help")
}

/// The flag for a port or an address that is given without one, as for `python -m http.server`.
fn address(word: &str) -> Option<String> {
    let PartialAddress { host, port, .. } = word.parse().ok()?;
    let port = port?;
    Some(match host {
        Some(_) => format!("--addr {word}"),
        None => format!("--port {port}"),
    })
}

/// The message if no handler is named.
pub(super) const NO_HANDLER: &str =
    "no handler given; name one, as in `wasmserve hello.rs`, or a directory, as in `wasmserve .`; see --help";

/// Commands of other programs, and what does the same here.
const HABITS: [(&str, &str); 8] = [
    ("serve", "`wasmserve HANDLER` serves a handler"),
    ("run", "`wasmserve HANDLER` serves a handler"),
    ("start", "`wasmserve HANDLER` serves a handler"),
    ("watch", "`wasmserve HANDLER` serves a handler, and reloads it when it changes"),
    ("init", "`wasmserve new NAME` creates a handler"),
    ("create", "`wasmserve new NAME` creates a handler"),
    ("help", "see --help"),
    ("version", "see --version"),
];

/// What to type instead of a word that stands where the handler belongs, if it is not the name of one.
pub(super) fn not_a_handler(word: &OsStr) -> Option<String> {
    match word.to_str() {
        Some(text) if help::is_command(text) && fs::symlink_metadata(text).is_err() => {
            Some(format!("`{text}` is a command; put it before all flags; see --help"))
        }
        _ => mistyped(word),
    }
}

/// What to type instead of a word that looks like a command but is neither one nor the name of a file.
pub(super) fn mistyped(word: &OsStr) -> Option<String> {
    let text = word.to_str()?;
    if let Some(flag) = address(text)
        && matches!(Named::from(word.to_owned()), Named::Path { kind: None, interface: None, .. })
        && fs::symlink_metadata(text).is_err()
    {
        return Some(format!(
            "`{text}` is where to listen, and no handler is given; name one, as in `wasmserve hello.rs {flag}`"
        ));
    }
    let is_plain = text.chars().all(|char| char.is_ascii_alphanumeric() || "_-".contains(char));
    let is_word = is_plain && text.starts_with(|char: char| char.is_ascii_alphabetic());
    if !is_word || help::is_command(text) || fs::symlink_metadata(text).is_ok() {
        return None;
    }
    if let Some(like) = mistake::similar(Path::new(text)) {
        return Some(format!("`{text}` does not exist; did you mean `{}`?", like.display()));
    }
    let commands = help::commands();
    let remedies = commands.iter().map(|command| (&**command, format!("did you mean `{command}`?")));
    let remedies: Vec<_> = remedies.chain(HABITS.map(|(habit, remedy)| (habit, remedy.to_owned()))).collect();
    let exact = remedies.iter().find(|(word, _)| *word == text);
    let found = exact.or_else(|| remedies.iter().find(|(word, _)| mistake::is_mistyped(text, word)));
    let remedy = found.map_or("see --help", |(_, remedy)| remedy);
    Some(format!("no file or command is named `{text}`; {remedy}"))
}

/// The name of a flag without its value: `--timeout` for `--timeout <DURATION>`, and `--reply` for `--reply [<STATUS>]`.
fn name(arg: &str) -> &str {
    arg.split_once(' ').map_or(arg, |(name, _)| name)
}

/// Joins clap's message of several lines into one, without its usage.
fn in_one_line(text: &str) -> String {
    let cause =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let cause: Vec<&str> = cause.filter(|line| !line.is_empty()).collect();
    cause.join(" ").trim_start_matches("error: ").to_owned()
}
