//! What cargo and rustc print that decisions depend on, in one place: it may change with each release.
//!
//! Last seen in Rust 1.95.0. If a phrase no longer matches, a remedy is not applied by itself; nothing else breaks.

use std::{collections::BTreeSet, iter};

/// How many paths are looked for in messages.
const PATHS_MAX: usize = 500;

/// How long a path may be, in bytes.
const PATH_MAX: usize = 4096;

/// Whether cargo could not even start the compiler.
pub(super) fn is_compiler_lost(output: &str) -> bool {
    output.contains("failed to run `rustc`")
}

/// Whether rustc has no standard library for the target.
pub(super) fn is_target_missing(output: &str, target: &str) -> bool {
    output.contains("E0463") && output.contains(target)
}

/// Whether this is one of cargo's last lines, or the one that it prints before it compiles the package in `directory`.
pub(super) fn is_progress_of(line: &str, directory: &str) -> bool {
    let is_last = line.contains("Finished") && line.contains("target(s) in");
    is_last || line.contains("Generated ") || line.contains(&format!("({directory})"))
}

/// What to do about the compiler's messages, if they show a mistake that beginners make; to be read after "does not build".
/// A file declares its dependencies differently from a crate.
pub(super) fn hint(output: &str, is_file: bool) -> Option<String> {
    if output.contains("`main` function not found in crate") {
        return Some(
            "it has no handler; add `handler!(app);`, where `app` is the function that answers requests".into(),
        );
    }
    if output.contains("unstable library feature `str_as_str`") {
        return Some("remove `.as_str()` from what is a `&str` already".into());
    }
    let (_, rest) = output.split_once("use of unresolved module or unlinked crate `")?;
    let (name, _) = rest.split_once('`')?;
    let version = if name == "serde" { "{ version = \"1\", features = [\"derive\"] }" } else { "\"*\"" };
    is_file.then(|| {
        format!(
            "if `{name}` is a crate, name it in a block at the top of the file, in the lines `//! ```cargo`, \
             `//! [dependencies]`, `//! {name} = {version}` and `//! ````"
        )
    })
}

/// All paths in the messages: what stands between quotes or backticks, or behind an arrow, and has a dot or a slash.
/// Not all of them need be paths.
pub(super) fn paths(output: &str) -> impl Iterator<Item = String> {
    let plain = without_colors(output);
    let mut paths = BTreeSet::new();
    for line in plain.lines() {
        for quote in ['`', '"'] {
            paths.extend(line.split(quote).skip(1).step_by(2).map(str::to_owned));
        }
        let arrow = [" --> ", " ::: "].into_iter().find_map(|arrow| Some(line.split_once(arrow)?.1));
        // The line and the column follow.
        paths.extend(arrow.and_then(|place| Some(place.rsplitn(3, ':').nth(2)?.to_owned())));
    }
    paths.retain(|path| path.len() < PATH_MAX && path.contains(['.', '/', '\\']) && !path.contains("://"));
    paths.into_iter().take(PATHS_MAX)
}

/// The text without the escape sequences that set colours.
fn without_colors(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default();
    iter::once(first).chain(parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginners_mistakes_have_hints() {
        let hint = |output: &str, is_file| hint(output, is_file).unwrap_or_default();
        let main = "\x1b[1m\x1b[91merror[E0601]\x1b[0m\x1b[1m: `main` function not found in crate `hello`\x1b[0m\n";
        assert!(
            hint(main, true).starts_with("it has no handler; add `handler!(app);`")
                && hint(main, true) == hint(main, false)
        );
        let regex = "1 | use regex::Regex;\n  |     ^^^^^ use of unresolved module or unlinked crate `regex`\n";
        assert!(hint(regex, true).contains("`//! regex = \"*\"`"));
        assert!(hint(&regex.replace("regex", "serde"), true).contains("features = [\"derive\"]"));
        assert_eq!(hint(regex, false), "", "rustc itself names Cargo.toml");
        assert_eq!(hint("error[E0308]: mismatched types", true), "");
    }

    #[test]
    fn paths_in_messages_are_found_in_all_of_their_forms() {
        let output = "\u{1b}[1m\u{1b}[91merror\u{1b}[0m: couldn't read `src/page.html`: No such file\n\
                      \u{1b}[94m --> \u{1b}[0mmy src/main.rs:2:1\n  = help: create file \"a/util.rs\" or \"a/util/mod.rs\"\n\
                      `u8` is not `str`, see https://example.com/\n failed to read `/dep/Cargo.toml`\n";
        let found: Vec<String> = paths(output).collect();
        assert_eq!(found, ["/dep/Cargo.toml", "a/util.rs", "a/util/mod.rs", "my src/main.rs", "src/page.html"]);
    }
}
