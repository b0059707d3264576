//! A handler to begin with: what `wasmserve new` writes is what it says, and works.

use std::{fs, path::Path};

use wasmserve_tests::{
    place::Place,
    server::{Launch, refuses},
};

/// Has it write something, which must succeed: what it says.
fn new(words: &[&str], at: &Path) -> String {
    let ended = Launch::bare().flags(["new"]).flags(words).at(at).run();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{words:?}");
    ended.stdout
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).with_extension("rs");
    fs::read_to_string(path).expect("it is an example")
}

#[test]
fn a_template_is_an_example() {
    let place = Place::new();
    for (template, of) in [
        ("hello", "hello"),
        ("verbs", "verbs"),
        ("form", "form"),
        ("logsink", "logsink"),
        ("dump", "dump"),
        ("stream", "ticks"),
    ] {
        let said = new(&[template, "--template", template], &place);
        assert!(said.contains(&format!("wasmserve {template}.rs\n")), "it says what to do next: {said}");
        let text = fs::read_to_string(place.join(template).with_extension("rs")).expect("it is there");
        assert!(text == example(of), "{template}");
    }
}

#[test]
fn hello_is_for_those_who_did_not_choose() {
    let place = Place::new();
    new(&["first.rs"], &place);
    assert!(fs::read_to_string(place.join("first.rs")).is_ok_and(|text| text == example("hello")));
    assert_eq!(place.files().len(), 1);
}

#[test]
fn what_is_there_stays_as_it_is() {
    let place = Place::new();
    let file = place.file("hello.rs", "mine");
    let twice = |words: &[&str]| Launch::bare().flags(["new"]).flags(words).at(&place);
    refuses(twice(&["hello"]), 1, &["`hello.rs`", "already exists"]);
    fs::create_dir(place.join("greet")).expect("a place is writable");
    refuses(twice(&["greet", "--crate"]), 1, &["`greet`", "already exists"]);
    assert_eq!(place.files(), std::slice::from_ref(&file));
    assert!(fs::read(file).is_ok_and(|text| text == b"mine"));
}

#[test]
fn a_name_that_is_none_is_told() {
    let place = Place::new();
    let refused = |words: &[&str], code, parts: &[&str]| {
        refuses(Launch::bare().flags(["new"]).flags(words).at(&place), code, parts);
    };
    refused(&[], 2, &["<NAME>"]);
    refused(&["x", "--template", "nonsense"], 2, &["nonsense", "hello, verbs, form, logsink, dump, stream"]);
    refused(&[".."], 1, &["`..`", "hello"]);
    refused(&["nowhere/x"], 1, &["`nowhere/x.rs`", "its directory does not exist"]);
    refused(&["a b", "--crate"], 1, &["`a b`", "letters"]);
    refused(&["fn", "--crate"], 1, &["`fn`"]);
    refused(&["\x1b[2J/x"], 1, &["`\\x1b[2J/x.rs`"]);
    assert!(place.files().is_empty());
}
