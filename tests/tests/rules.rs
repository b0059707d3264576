//! Every rule has a test, and every number in the name of a test is a rule or a fault.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The number of a rule or fault: the letter of its group, and its number there. `H8` is a rule about request fields,
/// and `F8` is a fault of handlers.
type Number = (char, u32);

/// Parses the number of a rule or fault.
fn number(word: &str) -> Option<Number> {
    let mut chars = word.chars();
    let group = chars.next().filter(char::is_ascii_alphabetic)?;
    let digits = chars.as_str();
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    Some((group.to_ascii_uppercase(), digits.parse().ok().filter(|_| is_plain)?))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("the file is readable")
}

/// The rules in `tests/rules.md`.
fn rules() -> BTreeSet<Number> {
    let text = read("tests/rules.md");
    text.lines().filter_map(|line| number(line.strip_prefix("- ")?.split_once(':')?.0)).collect()
}

/// The faults in the tables of `docs/faults.md`: the first cell of each row, if that is a number.
fn faults() -> BTreeSet<Number> {
    let text = read("docs/faults.md");
    text.lines().filter_map(|line| number(line.strip_prefix("| ")?.split_once(" |")?.0)).collect()
}

fn files(directory: &Path, files_found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            files(&path, files_found);
        } else {
            files_found.push(path);
        }
    }
}

/// The files of these directories, and their texts.
fn sources(directories: &[&str]) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    for directory in directories {
        files(&root().join(directory), &mut paths);
    }
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap_or_default())).collect()
}

/// The numbers that the name of a test begins with: `fn t1_t2_..`.
fn in_name(line: &str) -> Vec<Number> {
    let name = line.trim().strip_prefix("fn ").unwrap_or_default();
    name.split(['_', '('])
        .map_while(|word| if word == "to" { Some(None) } else { number(word).map(Some) })
        .flatten()
        .collect()
}

/// All numbers in a text: in the name of a test, as a word in the row of a table (`"T1"`), or at the beginning of a
/// case file (`# T1: ..`).
fn named(text: &str) -> Vec<Number> {
    let in_line = |line: &str| match line.trim() {
        name if name.starts_with("fn ") => in_name(name),
        comment if comment.starts_with('#') => comment.split([' ', ':', ',', '#']).filter_map(number).collect(),
        row => row.split('"').filter_map(number).collect(),
    };
    text.lines().flat_map(in_line).collect()
}

#[test]
fn every_rule_has_a_test() {
    let directories = [
        "host/gateway/src",
        "host/src",
        "guest-sdk/src",
        "examples",
        "tests/tests",
        "tests/src/behaviour",
        "tests/requests",
        "tests/cgi",
    ];
    let named: BTreeSet<Number> = sources(&directories).iter().flat_map(|(_, text)| named(text)).collect();
    let rules = rules();
    assert!(rules.len() > 100, "the rules are not found");
    let missing: Vec<_> = rules.difference(&named).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

#[test]
fn every_fault_has_a_test_or_a_siege() {
    let sources = sources(&["host/gateway/src", "host/src", "tests/tests", "tests/src/siege"]);
    let named: BTreeSet<Number> = sources.iter().flat_map(|(_, text)| named(text)).collect();
    let faults = faults();
    let all: BTreeSet<Number> = (1..=38).map(|number| ('F', number)).collect();
    let of_handlers: BTreeSet<Number> = faults.iter().copied().filter(|(group, _)| *group == 'F').collect();
    assert_eq!(of_handlers, all, "docs/faults.md must list all of them");
    // A panic of the host (F26) cannot be caused; each siege counts that there was none. P7 is part of a message in a
    // test of addresses.
    let missing: Vec<_> = faults.difference(&named).filter(|fault| ![('F', 26), ('P', 7)].contains(fault)).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

#[test]
fn every_number_in_a_test_name_is_listed_and_no_letter_is_in_two_lists() {
    let (rules, faults) = (rules(), faults());
    let groups = |list: &BTreeSet<Number>| list.iter().map(|(group, _)| *group).collect::<BTreeSet<char>>();
    let shared: Vec<_> = groups(&rules).intersection(&groups(&faults)).copied().collect();
    assert!(shared.is_empty(), "letters of both rules and faults: {shared:?}");
    for (path, text) in sources(&["host/gateway/src", "host/src", "guest-sdk/src", "examples", "tests/tests"]) {
        for (line, before) in text.lines().skip(1).zip(text.lines()) {
            if before.trim() != "#[test]" {
                continue;
            }
            for number in in_name(line) {
                let is_listed = rules.contains(&number) || faults.contains(&number);
                assert!(is_listed, "{}: {number:?} is not listed: {}", path.display(), line.trim());
            }
        }
    }
}
