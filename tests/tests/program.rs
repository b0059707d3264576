//! Every guest of the tests has a test and is built.

use std::{
    fs,
    path::{Path, PathBuf},
};

use wasmserve_tests::guest;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The Rust and WAT files in a directory, and below it if `is_deep`.
fn sources(directory: &Path, is_deep: bool) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).expect("the directory is readable");
    let paths = files.map(|file| file.expect("the entry is readable").path());
    let below = |path: PathBuf| match path.is_dir() {
        true if is_deep => sources(&path, true),
        _ => vec![path],
    };
    paths
        .flat_map(below)
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs" || extension == "wat"))
        .collect()
}

#[test]
fn every_program_has_a_test_and_is_built() {
    let here = Path::new(HERE);
    let read = |suite: PathBuf| fs::read_to_string(suite).expect("the file is readable");
    // The tests of the sieges, of the behaviours and of the kinds use all guests in their tables.
    let suites =
        ["tests", "src/siege", "src/behaviour"].iter().flat_map(|directory| sources(&here.join(directory), true));
    let suites: String = suites.chain([here.join("src/kind.rs")]).map(read).collect();
    let programs = sources(&here.join("programs"), false);
    assert!(!programs.is_empty());
    for program in programs {
        let name = program.file_stem().expect("the file has a name").to_string_lossy();
        assert!(suites.contains(&format!("\"{name}\"")), "no test uses {}", program.display());
        assert!(guest::program(&name).is_file(), "tests/programs/Cargo.toml does not list {name}.rs");
    }
}
