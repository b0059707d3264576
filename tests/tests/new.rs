//! `wasmserve new` writes a handler to start from.

use std::{fs, path::Path};

use wasmserve_tests::{
    place::Place,
    python,
    server::{Launch, refuses},
};

/// Runs `wasmserve new`, which must succeed, and returns its output.
fn new(words: &[&str], at: &Path) -> String {
    let ended = Launch::bare().flags(["new"]).flags(words).at(at).run();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{words:?}");
    ended.stdout
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).with_extension("rs");
    fs::read_to_string(path).expect("the example is readable")
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
        let output = new(&[template, "--template", template], &place);
        assert!(output.contains(&format!("wasmserve {template}.rs\n")), "the output names the next step: {output}");
        let text = fs::read_to_string(place.join(template).with_extension("rs")).expect("the file is readable");
        assert!(text == example(of), "{template}");
    }
}

#[test]
fn python_templates_are_files_and_a_project() {
    let place = Place::new();
    for (template, of) in [("wsgi", "hello_wsgi"), ("flask", "hello_flask")] {
        let name = format!("my_{template}");
        let output = new(&[&name, "--template", template], &place);
        assert!(output.contains(&format!("wasmserve {name}.py\n")), "{output}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python").join(of).with_extension("py");
        let text = fs::read_to_string(path).expect("the example is readable");
        assert!(fs::read_to_string(place.join(&name).with_extension("py")).is_ok_and(|written| written == text));
    }
    let output = new(&["book", "--template", "django"], &place);
    assert!(output.contains("wasmserve book --dir book/data::/app/data\n"), "{output}");
    let settings = fs::read_to_string(place.join("book/website/settings.py")).expect("the project has settings");
    let key = settings.lines().find_map(|line| line.strip_prefix("SECRET_KEY = \"")?.strip_suffix('"'));
    assert!(key.is_some_and(|key| key.len() == 50 && key.chars().all(|char| char.is_ascii_hexdigit())), "{key:?}");

    let refused = |words: &[&str], parts: &[&str]| {
        refuses(Launch::bare().flags(["new"]).flags(words).at(&place), 1, parts);
    };
    refused(&["my_wsgi", "--template", "wsgi"], &["`my_wsgi.py` already exists"]);
    refused(&["book", "--template", "django"], &["`book` already exists"]);
    refused(&["flask", "--template", "flask"], &["`flask.py` would hide Flask itself"]);
    refused(&["other", "--template", "flask", "--crate"], &["`flask` is Python, and no crate"]);

    python::ready();
    let server = Launch::file(&place.join("my_wsgi.py")).start();
    assert_eq!(server.get("/?name=you").text(), "Hello, you!\n");
}

#[test]
fn hello_is_the_default_template() {
    let place = Place::new();
    new(&["first.rs"], &place);
    assert!(fs::read_to_string(place.join("first.rs")).is_ok_and(|text| text == example("hello")));
    assert_eq!(place.files().len(), 1);
}

#[test]
fn existing_files_are_not_overwritten() {
    let place = Place::new();
    let file = place.file("hello.rs", "mine");
    let twice = |words: &[&str]| Launch::bare().flags(["new"]).flags(words).at(&place);
    refuses(twice(&["hello"]), 1, &["`hello.rs`", "already exists"]);
    fs::create_dir(place.join("greet")).expect("the test directory is writable");
    refuses(twice(&["greet", "--crate"]), 1, &["`greet`", "already exists"]);
    assert_eq!(place.files(), std::slice::from_ref(&file));
    assert!(fs::read(file).is_ok_and(|text| text == b"mine"));
}

#[test]
fn a_file_may_be_named_after_a_keyword() {
    let place = Place::new();
    for name in ["gen", "self", "crate", "build", "2fast"] {
        new(&[name], &place);
        assert!(place.join(name).with_extension("rs").is_file(), "{name}");
    }
}

#[test]
fn invalid_names_are_refused() {
    let place = Place::new();
    let refused = |words: &[&str], code, parts: &[&str]| {
        refuses(Launch::bare().flags(["new"]).flags(words).at(&place), code, parts);
    };
    refused(&[], 2, &["no name given"]);
    refused(&["x", "--template", "nonsense"], 2, &["nonsense", "hello, verbs, form, logsink, dump, stream"]);
    refused(&[".."], 1, &["`..`", "hello"]);
    refused(&["nowhere/x"], 1, &["`nowhere/x.rs`", "its directory does not exist"]);
    for (name, why) in [
        ("gen", "it is a keyword of Rust"),
        ("fn", "it is a keyword of Rust"),
        ("self", "it is a keyword of Rust"),
        ("_", "it is a keyword of Rust"),
        ("while", "it is a keyword of Rust"),
        ("core", "it is the name of a library that comes with Rust"),
        ("wasmserve-guest", "it is the name of the SDK"),
        ("build", "it is a directory that cargo builds in"),
        ("aux", "Windows reserves it"),
        ("2fast", "it must begin with a letter from a to z"),
        ("a b", "it contains ` `; use letters"),
        ("caf\u{e9}", "it contains `\u{e9}`; use letters"),
        (&"a".repeat(65), "it is longer than 64 characters"),
    ] {
        refused(&[name, "--crate"], 1, &[&format!("`{name}` cannot be the name of a crate: {why}")]);
    }
    refused(&["..", "--crate"], 1, &["it names a directory that exists"]);
    refused(&["aux"], 1, &["`aux`", "Windows reserves it"]);
    refused(&["here/"], 1, &["`here/`"]);
    refused(&["\x1b[2J/x"], 1, &["`\\x1b[2J/x.rs`"]);
    assert!(place.files().is_empty());
}
