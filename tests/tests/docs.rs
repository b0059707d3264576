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
            assert!(Path::new(DOCS).join(link).exists(), "{}: {link}", path.display());
        }
    }
}
