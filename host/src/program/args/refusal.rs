//! Describes what is wrong with a command line, in one line.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::help;
use crate::base::address::PartialAddress;

/// Formats clap's error as one line: what is wrong, why, and the remedy.
pub(super) fn line(error: &clap::Error) -> String {
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
            None => format!("unexpected argument `{arg}`"),
        },
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
            ["<HANDLER>"] => "no handler given; name one, as in `wasmserve hello.rs`".to_owned(),
            ["<NAME>"] => "no name given; name the new handler, as in `wasmserve new hello`".to_owned(),
            ["<SOURCE>"] => "no source given; name a Rust file or a crate, as in `wasmserve build hello.rs`".to_owned(),
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
