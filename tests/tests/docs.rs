//! The how-tos in `docs/`: that they can be found, and lead somewhere. Their Rust is tried by the SDK's own tests.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// The pages, and their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(DOCS).expect("it is a directory of ours");
    let paths = entries.map(|entry| entry.expect("it is readable").path());
    paths.map(|path| (path.clone(), fs::read_to_string(&path).expect("it is text"))).collect()
}

/// Where the links of a text lead, but for those to other places on the net.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    links.filter(|link| !link.contains("://"))
}

/// The name by which a heading can be linked to.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words.chars().filter(|char| char.is_alphanumeric() || " -".contains(*char)).collect::<String>().replace(' ', "-")
}

#[test]
fn every_page_is_in_the_index() {
    let name = |path: &Path| path.file_name().expect("it has a name").to_string_lossy().into_owned();
    let pages: BTreeSet<String> = pages().iter().map(|(path, _)| name(path)).collect();
    let index = fs::read_to_string(Path::new(DOCS).join("README.md")).expect("there is an index");
    let listed = links(&index).filter(|link| !link.starts_with("..")).map(str::to_owned);
    assert_eq!(listed.chain(["README.md".to_owned()]).collect::<BTreeSet<_>>(), pages);
}

#[test]
fn every_link_leads_somewhere() {
    for (path, text) in pages() {
        for link in links(&text) {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { Path::new(DOCS).join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            let text =
                if section.is_empty() { String::new() } else { fs::read_to_string(&target).expect("it is text") };
            let mut sections = text.lines().filter(|line| line.starts_with('#')).map(slug);
            assert!(section.is_empty() || sections.any(|slug| slug == section), "{}: {link}", path.display());
        }
    }
}

/// The sources of the tests and of the host, in one text.
fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).expect("it is a directory of ours") {
        let path = entry.expect("it is readable").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &fs::read_to_string(path).expect("it is text");
        }
    }
}

/// What is between each two of these.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.split(mark).skip(1).step_by(2)
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let model = fs::read_to_string(Path::new(DOCS).join("threat-model.md")).expect("there is one");
    let root = Path::new(DOCS).join("..");
    let mut code = String::new();
    ["tests/tests", "tests/src", "tests/fuzz", "host/src"]
        .iter()
        .for_each(|directory| sources(&root.join(directory), &mut code));
    let rows: Vec<&str> = model.lines().filter(|line| line.starts_with("| ")).collect();
    let is_test = |name: &&str| name.matches('_').count() > 2 && !name.contains(['.', '/', ' ']);
    let tests: BTreeSet<&str> = rows.iter().flat_map(|row| between(row, '`')).filter(is_test).collect();
    assert!(tests.len() > 30, "the tests are not found: {tests:?}");
    for test in tests {
        assert!(code.contains(&format!("fn {test}()")), "the threat model names `{test}`, which is no test");
    }
    let places = fs::read_to_string(root.join("tests/src/siege/isolation/findings.rs")).expect("it is there");
    let (_, places) = places.split_once("const PLACES").expect("they are listed");
    let (places, _) = places.split_once("];").expect("the list has an end");
    let checks: BTreeSet<&str> = rows.iter().flat_map(|row| between(row, '"')).collect();
    let not_of_isolation = ["requests without a report", "exits of the server"];
    let places: BTreeSet<&str> = between(places, '"').filter(|place| !not_of_isolation.contains(place)).collect();
    assert_eq!(checks, places, "checks of `siege isolation`, as the threat model and as the siege names them");
}
