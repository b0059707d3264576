//! Tests write nothing to the user's home directory: their caches are below cargo's target directory.

use std::{fs, path::Path};

use wasmserve_tests::{
    place::{self, Place},
    server::{Launch, Server},
};

/// An environment variable of a server.
fn variable(server: &Server, name: &str) -> String {
    let environ =
        fs::read_to_string(format!("/proc/{}/environ", server.id())).expect("the environment of a child is readable");
    let mut variables = environ.split('\0').filter_map(|variable| variable.strip_prefix(name)?.strip_prefix('='));
    variables.next().unwrap_or_else(|| panic!("no {name} in {environ:?}")).to_owned()
}

#[test]
fn test_servers_have_their_home_and_cache_below_the_target_directory() {
    let server = Server::start("hello");
    assert_eq!(Path::new(&variable(&server, "HOME")), place::home());
    assert_eq!(Path::new(&variable(&server, "XDG_CACHE_HOME")), place::shared_cache());
    for directory in [place::home(), place::shared_cache()] {
        assert!(directory.starts_with(place::base()), "{}", directory.display());
    }
}

#[test]
fn a_server_with_a_cache_elsewhere_writes_nothing_to_the_home_directory() {
    let (home, cache) = (Place::new(), Place::new());
    let server = Launch::program("hello").env("HOME", &*home).env("XDG_CACHE_HOME", &*cache).start();
    assert_eq!(server.get("/").status, 200);
    server.stop();
    assert!(!cache.files().is_empty(), "the component is in the given cache");
    assert_eq!(fs::read_dir(&*home).expect("the directory is readable").count(), 0);
}

#[test]
fn no_test_writes_to_its_home_directory() {
    let found: Vec<_> = fs::read_dir(place::home()).expect("the directory is readable").flatten().collect();
    assert!(found.is_empty(), "a test writes to its home directory: {found:?}");
}
