//! Checks the links and lists in `docs/`. The SDK's tests compile the Rust in these pages.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// The pages and their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(DOCS).expect("the directory is readable");
    let paths = entries.map(|entry| entry.expect("the entry is readable").path()).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), fs::read_to_string(&path).expect("the file is UTF-8"))).collect()
}

/// The targets of a text's links, except those to other sites.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    links.filter(|link| !link.contains("://"))
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words.chars().filter(|char| char.is_alphanumeric() || " -".contains(*char)).collect::<String>().replace(' ', "-")
}

#[test]
fn every_page_is_in_the_index() {
    let name = |path: &Path| path.file_name().expect("the file has a name").to_string_lossy().into_owned();
    let pages: BTreeSet<String> = pages().iter().map(|(path, _)| name(path)).collect();
    let index = fs::read_to_string(Path::new(DOCS).join("README.md")).expect("the index is readable");
    let listed = links(&index).filter(|link| !link.starts_with("..")).map(str::to_owned);
    assert_eq!(listed.chain(["README.md".to_owned()]).collect::<BTreeSet<_>>(), pages);
}

#[test]
fn every_link_has_a_target() {
    for (path, text) in pages() {
        for link in links(&text) {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { Path::new(DOCS).join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            let text = if section.is_empty() {
                String::new()
            } else {
                fs::read_to_string(&target).expect("the file is UTF-8")
            };
            let mut sections = text.lines().filter(|line| line.starts_with('#')).map(slug);
            assert!(section.is_empty() || sections.any(|slug| slug == section), "{}: {link}", path.display());
        }
    }
}

/// The sources of the tests and of the host, in one text.
fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).expect("the directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &fs::read_to_string(path).expect("the file is UTF-8");
        }
    }
}

/// The parts of a text between pairs of this mark.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.split(mark).skip(1).step_by(2)
}

#[test]
fn every_test_in_the_threat_model_exists() {
    let model = fs::read_to_string(Path::new(DOCS).join("threat-model.md")).expect("the page is readable");
    let root = Path::new(DOCS).join("..");
    let mut code = String::new();
    ["tests/tests", "tests/src", "tests/fuzz", "host/gateway/src", "host/src"]
        .iter()
        .for_each(|directory| sources(&root.join(directory), &mut code));
    let rows: Vec<&str> = model.lines().filter(|line| line.starts_with("| ")).collect();
    let is_test = |name: &&str| name.matches('_').count() > 2 && !name.contains(['.', '/', ' ']);
    let tests: BTreeSet<&str> = rows.iter().flat_map(|row| between(row, '`')).filter(is_test).collect();
    assert!(tests.len() > 30, "the tests are not found: {tests:?}");
    for test in tests {
        assert!(code.contains(&format!("fn {test}()")), "the threat model names `{test}`, which is not a test");
    }
    let places = fs::read_to_string(root.join("tests/src/siege/isolation/findings.rs")).expect("the file is readable");
    let (_, places) = places.split_once("const PLACES").expect("`PLACES` is in the file");
    let (places, _) = places.split_once("];").expect("the list has an end");
    let checks: BTreeSet<&str> = rows.iter().flat_map(|row| between(row, '"')).collect();
    let not_of_isolation = ["requests without a report", "exits of the server"];
    let places: BTreeSet<&str> = between(places, '"').filter(|place| !not_of_isolation.contains(place)).collect();
    assert_eq!(checks, places, "the checks of `siege isolation` in the threat model and in the siege differ");
}

/// The arms of a `match` over the faults in `host/src/fault.rs`: the result for each variant.
fn arms<'a>(text: &'a str, function: &str) -> BTreeMap<&'a str, &'a str> {
    let (_, body) = text.split_once(&format!("fn {function}(&self)")).expect("the function exists");
    let (body, _) = body.split_once("\n    }\n").expect("the section has an end");
    let mut arms = BTreeMap::new();
    let parts: Vec<&str> = body.split("=>").collect();
    for pair in parts.windows(2) {
        let result = pair[1].trim_start().split([',', '\n']).next().unwrap_or_default();
        let names = pair[0].split("Self::").skip(1).map(|name| {
            let end = name.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(name.len());
            // A timeout has one kind for each of its two limits.
            if name.contains("Limit::Cpu") { "Cpu" } else { &name[..end] }
        });
        arms.extend(names.map(|name| (name, result.trim())));
    }
    arms
}

#[test]
fn every_kind_of_fault_is_listed_with_its_status() {
    let mut code = String::new();
    sources(&Path::new(DOCS).join("../host/src"), &mut code);
    let (_, text) = code.split_once("impl Fault {").expect("the host has faults");
    let (kinds, statuses) = (arms(text, "kind"), arms(text, "status"));
    assert!(kinds.len() > 15, "the kinds are not found: {kinds:?}");
    let status = |variant: &str| statuses.get(if variant == "Cpu" { "TimedOut" } else { variant });
    let in_code: BTreeMap<&str, Option<u16>> = kinds
        .iter()
        .map(|(variant, kind)| {
            let status = status(variant).unwrap_or_else(|| panic!("{variant} has no status"));
            // `*status` is the status of the request's own fault.
            (kind.trim_matches('"'), status.parse().ok())
        })
        .collect();

    let page = fs::read_to_string(Path::new(DOCS).join("faults.md")).expect("the page is readable");
    let (_, table) = page.split_once("\n## Kinds\n").expect("a table of kinds");
    let (table, _) = table.split_once("\n## ").expect("the section has an end");
    let mut on_the_page = BTreeMap::new();
    for row in table.lines().filter(|line| line.contains("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 8, "a row must have six cells: {row}");
        let listed: Vec<u16> = cells[3].split(", ").map(|status| status.parse().expect("a status")).collect();
        let status = if let [status] = *listed { Some(status) } else { None };
        assert_eq!(on_the_page.insert(cells[2].trim_matches('`'), status), None, "listed twice: {row}");
        assert!(!cells[4].is_empty() && !cells[5].is_empty() && !cells[6].is_empty(), "a cell is empty: {row}");
    }
    assert_eq!(on_the_page, in_code, "docs/faults.md differs from `Fault::kind` and `Fault::status`");
}

/// Exceptions that are not needed fail the tests that have them, so the table has no difference too many.
#[test]
fn the_table_of_hosts_is_what_the_tests_of_exported_handlers_expect() {
    let table = wasmserve_tests::kind::table_of_hosts();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/export.md");
    let text = fs::read_to_string(&path).expect("the page is readable");
    let start = text.find("| what is different, and why |").expect("the page has the table");
    let end = text[start..].find("\n\n").map_or(text.len(), |length| start + length + 1);
    if env::var_os("WASMSERVE_REGENERATE").is_some() {
        fs::write(&path, [&text[..start], &table, &text[end..]].concat()).expect("the page is writable");
    } else {
        assert!(text[start..end] == table, "docs/export.md should have this table:\n{table}");
    }
}
