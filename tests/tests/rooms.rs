//! Checks the module graph of the host and the gateway, and the map in ARCHITECTURE.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use wasmserve_tests::{graph::Graph, place::Place};

/// The top-level modules of the host, called rooms. Each may use only those before it.
const ROOMS: [&str; 18] = [
    "base",
    "fault",
    "capture",
    "event",
    "listen",
    "admission",
    "handler",
    "kind",
    "compose",
    "source",
    "exchange",
    "transport",
    "server",
    "replay",
    "viewer",
    "lifecycle",
    "program",
    "lib",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn graph(sources: &str) -> Graph {
    Graph::of(&workspace().join(sources), "lib.rs")
}

/// The room that a file is in: the first part of its path.
fn room(file: &str) -> String {
    file.split(['/', '.']).next().unwrap_or_default().to_owned()
}

#[test]
fn no_file_takes_part_in_a_circular_dependency() {
    for sources in ["host/src", "host/gateway/src"] {
        let graph = graph(sources);
        assert!(graph.arrows.len() > 20, "{sources}: {graph:?}");
        let shown: Vec<String> = graph
            .circles(str::to_owned)
            .iter()
            .flat_map(|circle| {
                let inside = |(from, to): &(String, String)| circle.contains(from) && circle.contains(to);
                let arrows = graph.arrows.iter().filter(move |(arrow, _)| inside(arrow));
                arrows.map(|((from, to), path)| format!("{from} -> {to} (`{path}`)"))
            })
            .collect();
        assert!(shown.is_empty(), "{sources}:\n{}", shown.join("\n"));
    }
}

#[test]
fn a_room_uses_only_those_before_it() {
    let graph = graph("host/src");
    let place = |file: &str| ROOMS.iter().position(|known| *known == room(file)).unwrap_or_else(|| panic!("{file}"));
    for ((from, to), path) in &graph.arrows {
        let (user, used) = (place(from), place(to));
        assert!(user >= used, "{from} uses `{path}` of {to}, but `{}` comes before `{}`", ROOMS[user], ROOMS[used]);
    }
    assert_eq!(graph.circles(room), Vec::<BTreeSet<String>>::new());
}

#[test]
fn every_file_belongs_to_the_module_tree() {
    for sources in ["host/src", "host/gateway/src"] {
        let mut files = BTreeSet::new();
        collect(&workspace().join(sources), &mut files);
        let root = workspace().join(sources);
        let files: BTreeSet<String> = files
            .iter()
            .map(|file| file.strip_prefix(&root).expect("the file is below the root").to_string_lossy().into_owned())
            .filter(|file| file != "main.rs")
            .collect();
        assert_eq!(files, graph(sources).files);
    }
}

#[test]
fn the_map_names_every_file_once_and_no_other() {
    let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("the file is readable");
    let map = text.split("## The map").nth(1).expect("the section exists");
    let map = map.split("```").nth(1).expect("the map is a code block");
    let mut named: BTreeMap<String, u32> = BTreeMap::new();
    let words = map.lines().filter_map(|line| line.split_whitespace().next()).filter(|word| word.ends_with(".rs"));
    for path in words.flat_map(expand) {
        *named.entry(path).or_default() += 1;
    }
    let mut files = BTreeSet::new();
    for package in ["host", "guest-sdk", "examples", "tests"] {
        collect(&workspace().join(package), &mut files);
    }
    let root = workspace();
    let mut wrong = Vec::new();
    for file in &files {
        let path = file.strip_prefix(&root).expect("the file is below the root").to_string_lossy().into_owned();
        match named.remove(&path) {
            Some(1) => {}
            Some(_) => wrong.push(format!("named more than once: {path}")),
            None => wrong.push(format!("not named: {path}")),
        }
    }
    wrong.extend(named.keys().map(|path| format!("does not exist: {path}")));
    assert!(wrong.is_empty(), "the map of ARCHITECTURE.md is wrong:\n{}", wrong.join("\n"));
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn expand(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (names, after) = rest.split_once('}').unwrap_or_else(|| panic!("{path}: missing }}"));
    names.split(',').map(|name| format!("{before}{name}{after}")).collect()
}

/// All Rust sources below a directory.
fn collect(directory: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path);
        }
    }
}

#[test]
fn the_gateways_manifest_rules_out_io() {
    let manifest = fs::read_to_string(workspace().join("host/gateway/Cargo.toml")).expect("the file is readable");
    let dependencies = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split('[').next());
    let names: Vec<&str> = dependencies
        .expect("the manifest has dependencies")
        .lines()
        .filter_map(|line| line.split_once('.').map(|(name, _)| name))
        .collect();
    assert_eq!(names, ["bytes", "http", "http-body", "memchr"], "other dependencies could do I/O");
}

/// The tests above prove something only if the graph has all dependencies.
#[test]
fn the_graph_sees_nested_braces_inline_paths_macros_and_re_exports() {
    let place = Place::new();
    fs::create_dir(place.join("b")).expect("the test directory is writable");
    for (file, text) in [
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "use crate::{b::{self, Inner as Renamed}, c};\nfn f(_: Renamed) { c::f() }"),
        ("b.rs", "mod inner;\npub use self::inner::Inner;"),
        ("b/inner.rs", "pub struct Inner;\nfn f() { super::super::c::f() }"),
        ("c.rs", "pub fn f() { println!(\"{}\", crate::d::ONE) }"),
        (
            "d.rs",
            "pub const ONE: u8 = 1;\n/// Not an arrow: [`crate::a`].\nmod tests { use super::super::e; fn f() { e::f() } }",
        ),
        ("e.rs", "pub(super) fn f() {}"),
    ] {
        place.file(file, text);
    }
    let graph = Graph::of(&place, "lib.rs");
    let arrows: Vec<String> = graph.arrows.keys().map(|(from, to)| format!("{from} {to}")).collect();
    let expected =
        ["a.rs b.rs", "a.rs b/inner.rs", "a.rs c.rs", "b.rs b/inner.rs", "b/inner.rs c.rs", "c.rs d.rs", "d.rs e.rs"];
    assert_eq!(arrows, expected);
    assert!(graph.circles(str::to_owned).is_empty());

    place.file("e.rs", "pub(super) fn f() { crate::b::inner::g() }");
    let circles = Graph::of(&place, "lib.rs").circles(str::to_owned);
    assert_eq!(circles.len(), 1);
    assert_eq!(circles[0].iter().map(String::as_str).collect::<Vec<_>>(), ["b/inner.rs", "c.rs", "d.rs", "e.rs"]);
}
