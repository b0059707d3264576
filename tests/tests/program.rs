//! The guests of the tests.

use std::{collections::BTreeSet, fs, path::Path};

use wasmserve_tests::guest;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The names of the Rust files in a directory of this package.
fn names(directory: &str) -> BTreeSet<String> {
    let files = fs::read_dir(Path::new(HERE).join(directory)).expect("it is a directory of ours");
    let paths = files.map(|file| file.expect("it is readable").path());
    let sources = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    sources.map(|path| path.file_stem().expect("it has a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn every_program_has_a_test_and_is_built() {
    let suites: String = names("tests")
        .iter()
        .map(|suite| fs::read_to_string(Path::new(HERE).join(format!("tests/{suite}.rs"))).expect("it is readable"))
        .collect();
    let programs = names("programs");
    assert!(!programs.is_empty());
    for name in programs {
        assert!(suites.contains(&format!("\"{name}\"")), "no test asks for tests/programs/{name}.rs");
        assert!(guest::program(&name).is_file(), "tests/programs/Cargo.toml does not list {name}.rs");
    }
}
