//! Rust handlers that change while they are served.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use wasmserve_tests::{
    guest,
    place::Place,
    server::{Launch, Server},
    source::{handler, krate, tools},
};

/// The response to a browser.
fn browse(server: &Server, fields: &str) -> wasmserve_tests::client::Response {
    server.ask(format!("GET / HTTP/1.1\r\nHost: test\r\nAccept: text/html,*/*;q=0.8\r\n{fields}\r\n"))
}

/// A server with a cargo that prints when it is called, and waits while there is a file `hold`.
fn with_cargo_that_counts(launch: Launch, place: &Place) -> Launch {
    let cargo = env::var("CARGO").unwrap_or_else(|_| env!("CARGO").into());
    let script = format!(
        "echo cargo is called >&2; while [ -e '{}' ]; do sleep 0.01; done; exec '{cargo}' \"$@\"",
        place.join("hold").display()
    );
    let path = env::var("PATH").expect("PATH is set");
    launch.env("PATH", format!("{}:{path}", tools(place, &[("cargo", &script)]).display()))
}

fn is_call(line: &str) -> bool {
    line == "cargo is called"
}

/// How often cargo was called so far to build something.
fn calls(server: &Server) -> usize {
    server.log().iter().filter(|line| is_call(line)).count()
}

/// The source of a handler that answers with the value of an expression.
fn answers(expression: &str) -> String {
    handler("x").replace("\"x\"", expression)
}

/// Writes a file along with its directories.
fn write(place: &Place, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let directory = place.join(name).parent().map(Path::to_owned);
    fs::create_dir_all(directory.expect("a file is in a directory")).expect("the test directory is writable");
    place.file(name, content)
}

#[test]
fn a_saved_file_is_reloaded_however_it_is_saved() {
    let place = Place::new();
    let file = place.file("hello.rs", handler("0"));
    let server = Launch::file(&file).start();
    assert_eq!(server.get("/").text(), "0");

    // In place.
    place.file("hello.rs", handler("1"));
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "1");

    // By renaming a new file to the old name.
    fs::rename(place.file(".hello.rs.swp", handler("2")), &file).expect("the test directory is writable");
    server.served_anew(2);
    assert_eq!(server.get("/").text(), "2");

    // By renaming the old file first.
    fs::rename(&file, place.join("hello.rs~")).expect("the test directory is writable");
    place.file("hello.rs", handler("3"));
    server.served_anew(3);
    assert_eq!(server.get("/").text(), "3");
}

#[test]
fn a_file_is_rebuilt_when_an_included_file_changes() {
    let place = Place::new();
    place.file("page.txt", "old");
    let text = handler("x").replace("\"x\"", "include_str!(\"page.txt\")");
    let server = Launch::file(&place.file("hello.rs", text)).start();
    assert_eq!(server.get("/").text(), "old");
    place.file("page.txt", "new");
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "new");
}

#[test]
fn a_failed_build_keeps_the_old_version_and_is_shown_to_browsers_with_debug() {
    let place = Place::new();
    place.file("hello.rs", handler("old"));
    let server = Launch::file(&place.join("hello.rs")).flags(["--debug"]).start();
    assert_eq!(browse(&server, "").text(), "old");

    place.file("hello.rs", handler("</pre><script>alert(1)").replace("'static str", "'static u8"));
    server.kept(1);
    assert!(
        server.log().iter().any(|line| line.contains("--> ") && line.contains("hello.rs:6:5")),
        "{:#?}",
        server.log()
    );
    assert_eq!(server.get("/").text(), "old");
    let page = browse(&server, "");
    assert_eq!((page.status, page.field("content-type")), (500, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("hello.rs:6:5") && page.text().contains("&lt;script&gt;alert(1)"), "{}", page.text());
    assert!(!page.text().contains("<script>alert"), "{}", page.text());

    // The page waits, and is answered as soon as the handler builds.
    let mut waiting = server.connect();
    waiting.send("HEAD / HTTP/1.1\r\nHost: test\r\nAccept: text/html\r\nWasmserve-Build: 1\r\n\r\n");
    place.file("hello.rs", handler("new"));
    server.served_anew(1);
    assert_eq!(waiting.response_to_head().field("wasmserve-build"), None);
    assert_eq!((browse(&server, "").text(), server.get("/").text()), ("new", "new"));
}

#[test]
fn a_failed_build_is_reported_once_however_many_steps_saving_takes() {
    let place = Place::new();
    let bytes = |name| fs::read(guest::program(name)).expect("the guest is built");
    let other = place.file("handler.wasm", bytes("hello"));
    place.file("broken.rs", handler("old"));
    let mount = format!("/broken={}", place.join("broken.rs").display());
    let server = with_cargo_that_counts(Launch::file(&other).flags(["--mount", &mount]), &place).start();
    place.file("broken.rs", handler("new"));
    server.served_anew(1);

    let calls = calls(&server);
    place.file("hold", "");
    let broken = place.file("broken.rs", handler("x").replace("\"x\"", "1"));
    server.lines(calls + 1, is_call);
    // One more step, by a slow editor.
    fs::set_permissions(broken, Permissions::from_mode(0o600)).expect("we own the file");
    fs::remove_file(place.join("hold")).expect("the file is readable");
    server.kept(1);
    // Later changes are noticed later.
    fs::write(&other, bytes("environ")).expect("the test directory is writable");
    server.served_anew(2);
    assert_eq!(server.kept(1).len(), 1, "{:#?}", server.log());
}

#[test]
fn a_failed_build_is_hidden_from_clients_without_debug() {
    let place = Place::new();
    let server = Launch::file(&place.file("hello.rs", handler("old"))).start();
    place.file("hello.rs", "fn main() { 1 }\n");
    server.kept(1);
    assert_eq!((server.get("/").text(), browse(&server, "Wasmserve-Build: 1\r\n").text()), ("old", "old"));
    // The change is undone.
    place.file("hello.rs", handler("old"));
    server.line_with("is back to the version being served");
}

#[test]
fn a_crate_is_watched_with_all_its_sources() {
    let place = Place::new();
    let directory = krate(&place, "", &[("main.rs", "old")]);
    let server = Launch::file(&directory).start();
    assert_eq!(server.get("/").text(), "old");
    fs::create_dir_all(directory.join("src/deep")).expect("the test directory is writable");
    place.file("greet/src/deep/words.rs", "pub const WORDS: &str = \"deep\";\n");
    place.file(
        "greet/src/main.rs",
        format!("#[path = \"deep/words.rs\"]\nmod words;\n{}", handler("x").replace("\"x\"", "words::WORDS")),
    );
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "deep");
    place.file("greet/src/deep/words.rs", "pub const WORDS: &str = \"deeper\";\n");
    server.served_anew(2);
    assert_eq!(server.get("/").text(), "deeper");
}

#[test]
fn a_handler_that_may_write_to_its_source_is_not_rebuilt() {
    let place = Place::new();
    fs::create_dir(place.join("data")).expect("the test directory is writable");
    let file = place.file("hello.rs", handler("x"));
    let with = |host: &Path, mode: &str| {
        Launch::file(&file).flags(["--dir", &format!("{}::/data{mode}", host.display())]).start()
    };
    let server = with(&place, "");
    assert!(server.line_with("warning").contains("lets a handler change its own source") && !server.watches());
    assert!(with(&place, ":ro").watches() && with(&place.join("data"), "").watches());
}

/// A crate whose build script writes a constant into its own sources at each run.
fn krate_that_writes_its_sources(place: &Place, value: &str) -> PathBuf {
    let directory = krate(place, "build = \"build.rs\"", &[]);
    let script = format!(
        "fn main() {{ std::fs::write(\"src/generated.rs\", format!(\"pub const TIME: u128 = {{}};\", {value})).unwrap(); }}"
    );
    place.file("greet/build.rs", script);
    place.file("greet/src/main.rs", format!("mod generated;\n{}", handler("0")));
    directory
}

#[test]
fn a_build_that_writes_the_same_sources_again_settles() {
    let place = Place::new();
    let directory = krate_that_writes_its_sources(&place, "0");
    let server = with_cargo_that_counts(Launch::file(&directory), &place).start();
    let edit = |times: usize| {
        place.file("greet/src/main.rs", format!("mod generated;\n{}", handler(&times.to_string())));
        server.served_anew(times);
        assert_eq!(server.get("/").text(), times.to_string());
    };
    edit(1);
    let before = calls(&server);
    for times in 2..=4 {
        edit(times);
    }
    // One build for each edit.
    assert_eq!(calls(&server), before + 3, "{:#?}", server.log());
    assert!(!server.log().iter().any(|line| line.contains("each build of")), "{:#?}", server.log());
}

#[test]
fn a_build_that_always_changes_its_sources_is_reported_once_and_edits_are_still_served() {
    let place = Place::new();
    let time = "std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()";
    let directory = krate_that_writes_its_sources(&place, time);
    let server = with_cargo_that_counts(Launch::file(&directory), &place).start();
    let line = server.line_with("each build of");
    for part in ["greet` changes `", "src/generated.rs`", "OUT_DIR"] {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    let before = calls(&server);
    for times in 1..=3 {
        place.file("greet/src/main.rs", format!("mod generated;\n{}", handler(&times.to_string())));
        server.served_anew(times);
        assert_eq!(server.get("/").text(), times.to_string());
    }
    assert_eq!(calls(&server), before + 3, "one build for each edit: {:#?}", server.log());
    let lines = server.log().iter().filter(|line| line.contains("each build of")).count();
    assert_eq!(lines, 1, "{:#?}", server.log());
}

#[test]
fn a_save_during_a_build_is_built_afterwards() {
    let place = Place::new();
    place.file("hello.rs", handler("0"));
    let server = with_cargo_that_counts(Launch::file(&place.join("hello.rs")), &place).start();
    for times in 0..3 {
        let before = calls(&server);
        place.file("hold", "");
        // The first save names a file that no earlier version has named.
        place.file("page.html", format!("first {times}"));
        place.file("hello.rs", format!("{}// {times}\n", answers("include_str!(\"page.html\")")));
        server.lines(before + 1, is_call);
        place.file("page.html", format!("second {times}"));
        fs::remove_file(place.join("hold")).expect("the test directory is writable");
        server.lines(before + 2, is_call);
        place.file("hello.rs", handler(&format!("end {times}")));
        loop {
            let versions = server.log().iter().filter(|line| line.contains("serving the new")).count();
            if server.get("/").text() == format!("end {times}") {
                break;
            }
            server.served_anew(versions + 1);
        }
    }
    assert!(!server.log().iter().any(|line| line.contains("each build of")), "{:#?}", server.log());
}

#[test]
fn what_a_failed_build_lacks_is_waited_for() {
    let package = "[package]\nname = \"near\"\nedition = \"2021\"\n";
    let depends = "//! ```cargo\n//! [dependencies]\n//! near.path = \"lib/near\"\n//! ```\n";
    let near = format!("{depends}{}", answers("near::TEXT"));
    // Each with the text that fails to build, and the files that cure it, in this order.
    let cases: &[(&str, String, &[(&str, &str)])] = &[
        ("a page", answers("include_str!(\"page.html\")"), &[("page.html", "cured")]),
        (
            "a page in a directory that does not exist either",
            answers("std::str::from_utf8(include_bytes!(\"pages/en/page.html\")).unwrap()"),
            &[("pages/en/page.html", "cured")],
        ),
        (
            "a module",
            format!("mod util;\n{}", answers("util::TEXT")),
            &[("util/mod.rs", "pub const TEXT: &str = \"cured\";")],
        ),
        (
            "a module of a module",
            format!("mod outer {{ pub mod inner; }}\n{}", answers("outer::inner::TEXT")),
            &[("outer/inner.rs", "pub const TEXT: &str = \"cured\";")],
        ),
        (
            "a module by its path",
            format!("#[path = \"odd/thing.rs\"]\nmod thing;\n{}", answers("thing::TEXT")),
            &[("odd/thing.rs", "pub const TEXT: &str = \"cured\";")],
        ),
        (
            "a dependency that does not exist",
            near.clone(),
            &[("lib/near/src/lib.rs", "pub const TEXT: &str = \"cured\";"), ("lib/near/Cargo.toml", package)],
        ),
        (
            "a dependency with an error in its manifest and then in its source",
            near,
            &[
                ("lib/near/Cargo.toml", "[[["),
                ("lib/near/src/lib.rs", "pub const"),
                ("lib/near/Cargo.toml", package),
                ("lib/near/src/lib.rs", "pub const TEXT: &str = \"cured\";"),
            ],
        ),
        (
            "a function of a module that the compiler's messages do not locate",
            format!("mod deep;\n{}", answers("deep::text()")),
            &[("deep/mod.rs", ""), ("deep/mod.rs", "pub fn text() -> &'static str { \"cured\" }")],
        ),
    ];
    for (name, text, cures) in cases {
        let place = Place::new();
        place.file("hello.rs", handler("old"));
        let server = Launch::file(&place.join("hello.rs")).start();
        place.file("hello.rs", text);
        server.kept(1);
        for (number, (file, content)) in cures.iter().enumerate() {
            write(&place, file, content);
            let is_last = number + 1 == cures.len();
            // A step in between may or may not be noticed by itself: its files are not complete.
            if is_last {
                server.served_anew(1);
            } else if *content == "" {
                server.kept(number + 2);
            }
        }
        assert_eq!(server.get("/").text(), "cured", "{name}");
    }
}

#[test]
fn what_a_crate_lacks_is_waited_for() {
    let place = Place::new();
    let directory = krate(&place, "", &[("main.rs", "old")]);
    let server = Launch::file(&directory).start();
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).expect("the file is readable");
    let depends = manifest.replace("[dependencies]\n", "[dependencies]\nnear.path = \"../near\"\n");
    place.file("greet/Cargo.toml", depends);
    server.kept(1);
    write(&place, "near/src/lib.rs", "pub fn page() -> &'static str { include_str!(\"../pages/page.html\") }\n");
    write(&place, "near/Cargo.toml", "[package]\nname = \"near\"\nedition = \"2021\"\n");
    server.kept(2);
    place.file("greet/src/main.rs", answers("near::page()"));
    server.kept(3);
    write(&place, "near/pages/page.html", "cured");
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "cured");
    // A deleted file that comes back.
    fs::remove_dir_all(place.join("near")).expect("the test directory is writable");
    server.kept(4);
    write(&place, "near/pages/page.html", "back");
    write(&place, "near/src/lib.rs", "pub fn page() -> &'static str { include_str!(\"../pages/page.html\") }\n");
    write(&place, "near/Cargo.toml", "[package]\nname = \"near\"\nedition = \"2021\"\n");
    server.served_anew(2);
    assert_eq!(server.get("/").text(), "back");
}

#[test]
fn files_that_are_older_than_the_last_build_are_built_all_the_same() {
    let module = |text: &str| format!("pub const TEXT: &str = \"{text}\";\n");
    let place = Place::new();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let age = |name: &str| {
        let file = fs::File::options().write(true).open(place.join(name)).expect("the file is there");
        file.set_modified(hour_ago).expect("the time of a file can be set");
    };
    for release in ["1", "2"] {
        write(&place, &format!("{release}/hello.rs"), format!("mod words;\n{}", answers("words::TEXT")));
        write(&place, &format!("{release}/words.rs"), module(release));
        age(&format!("{release}/hello.rs"));
        age(&format!("{release}/words.rs"));
    }
    let point_to = |release: &str| {
        symlink(release, place.join("new")).expect("the test directory is writable");
        fs::rename(place.join("new"), place.join("current")).expect("the test directory is writable");
    };
    point_to("1");
    let file = place.join("current/hello.rs");
    let server = Launch::file(&file).start();
    assert_eq!(server.get("/").text(), "1");
    for (times, release) in [(1, "2"), (2, "1")] {
        point_to(release);
        server.served_anew(times);
        assert_eq!(server.get("/").text(), release);
    }
    // As `mv` and `cp -p` do it.
    place.file("old.rs", module("moved"));
    age("old.rs");
    fs::rename(place.join("old.rs"), place.join("1/words.rs")).expect("the test directory is writable");
    server.served_anew(3);
    assert_eq!(server.get("/").text(), "moved");
    drop(server);
    // Also if it happens while no server runs.
    point_to("2");
    assert_eq!(Launch::file(&file).start().get("/").text(), "2");
}

#[test]
fn sources_behind_links_are_watched() {
    let module = |text: &str| format!("pub const TEXT: &str = \"{text}\";\n");
    // A file by a link to its directory, a link to the file, and a link inside of a crate.
    let place = Place::new();
    write(&place, "real/words.rs", module("0"));
    write(&place, "real/hello.rs", format!("mod words;\n{}", answers("words::TEXT")));
    symlink("real", place.join("a-link")).expect("the test directory is writable");
    let server = Launch::file(&place.join("a-link/hello.rs")).start();
    for times in 1..=2 {
        place.file("real/words.rs", module(&times.to_string()));
        server.served_anew(times);
        assert_eq!(server.get("/").text(), times.to_string());
    }
    write(&place, "other/words.rs", module("other"));
    fs::copy(place.join("real/hello.rs"), place.join("other/hello.rs")).expect("the test directory is writable");
    symlink("other", place.join("new")).expect("the test directory is writable");
    fs::rename(place.join("new"), place.join("a-link")).expect("the test directory is writable");
    server.served_anew(3);
    place.file("other/words.rs", module("another"));
    server.served_anew(4);
    assert_eq!(server.get("/").text(), "another");

    let place = Place::new();
    let directory = krate(&place, "", &[("main.rs", "0")]);
    write(&place, "shared/words.rs", module("0"));
    symlink("../../shared", directory.join("src/shared")).expect("the test directory is writable");
    // A link that leads to its own directory.
    symlink(".", directory.join("src/again")).expect("the test directory is writable");
    place.file("greet/src/main.rs", format!("#[path = \"shared/words.rs\"]\nmod words;\n{}", answers("words::TEXT")));
    symlink("greet", place.join("a-crate")).expect("the test directory is writable");
    let server = Launch::file(&place.join("a-crate/Cargo.toml")).start();
    place.file("shared/words.rs", module("1"));
    server.served_anew(1);
    place.file("greet/src/main.rs", handler("2"));
    server.served_anew(2);
    assert_eq!(server.get("/").text(), "2");
}
