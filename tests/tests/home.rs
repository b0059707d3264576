//! Whoever runs the tests keeps their home as it was: what is compiled and cached for tests is below cargo's target directory.

use std::{fs, path::Path};

use wasmserve_tests::{
    place::{self, Place},
    server::{Launch, Server},
};

/// What a process was given of that name.
fn variable(server: &Server, name: &str) -> String {
    let environ = fs::read_to_string(format!("/proc/{}/environ", server.id())).expect("Linux tells");
    let mut variables = environ.split('\0').filter_map(|variable| variable.strip_prefix(name)?.strip_prefix('='));
    variables.next().unwrap_or_else(|| panic!("no {name} in {environ:?}")).to_owned()
}

#[test]
fn servers_of_the_tests_have_a_home_and_a_cache_below_the_target_directory() {
    let server = Server::start("hello");
    assert_eq!(Path::new(&variable(&server, "HOME")), place::home());
    assert_eq!(Path::new(&variable(&server, "XDG_CACHE_HOME")), place::shared_cache());
    for directory in [place::home(), place::shared_cache()] {
        assert!(directory.starts_with(place::base()), "{}", directory.display());
    }
}

#[test]
fn a_server_that_has_a_cache_elsewhere_leaves_nothing_in_its_users_home() {
    let (home, cache) = (Place::new(), Place::new());
    let server = Launch::program("hello").env("HOME", &*home).env("XDG_CACHE_HOME", &*cache).start();
    assert_eq!(server.get("/").status, 200);
    server.stop();
    assert!(!cache.files().is_empty(), "the component is kept where it was said");
    assert_eq!(fs::read_dir(&*home).expect("it is there").count(), 0);
}

#[test]
fn nothing_was_ever_written_into_the_home_that_the_tests_give() {
    let found: Vec<_> = fs::read_dir(place::home()).expect("it is there").flatten().collect();
    assert!(found.is_empty(), "some test writes into its user's home: {found:?}");
}
