//! Every rule has a test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The rules in `tests/rules.md`.
fn rules() -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules.md")).expect("it is readable");
    let rules = text.lines().filter_map(|line| Some(line.strip_prefix("- ")?.split_once(':')?.0.to_owned()));
    rules.collect()
}

fn files(directory: &Path, files_found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("it is a directory of ours") {
        let path = entry.expect("it is readable").path();
        if path.is_dir() {
            files(&path, files_found);
        } else {
            files_found.push(path);
        }
    }
}

/// What looks like a rule's number: in the name of a test (`fn t1_t2_..`), as a word in the row of a table (`"T1"`), or at the
/// beginning of a case file (`# T1: ..`).
fn named(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let is_number = |word: &str| {
        let mut chars = word.chars();
        chars.next().is_some_and(|char| char.is_ascii_alphabetic()) && chars.as_str().parse::<u32>().is_ok()
    };
    let mut named = Vec::new();
    for line in text.lines().map(str::trim) {
        let words: Vec<String> = if let Some(name) = line.strip_prefix("fn ") {
            name.split(['_', '(']).take_while(|word| is_number(word)).map(str::to_ascii_uppercase).collect()
        } else if line.starts_with('#') {
            line.split([' ', ':', ',', '#']).map(str::to_owned).collect()
        } else {
            line.split('"').map(str::to_owned).collect()
        };
        named.extend(words.into_iter().filter(|word| is_number(word)));
    }
    named
}

#[test]
fn every_rule_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = Vec::new();
    for directory in ["host/src", "guest-sdk/src", "examples", "tests/tests", "tests/src/behaviour", "tests/requests"] {
        files(&root.join(directory), &mut sources);
    }
    let named: BTreeSet<String> = sources.iter().flat_map(|source| named(source)).collect();
    let rules = rules();
    assert!(rules.len() > 100, "the list is found");
    let missing: Vec<_> = rules.difference(&named).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}
