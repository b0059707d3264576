//! Handlers that are served from Rust files and crates.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use wasmserve_tests::{
    place::{self, Place},
    real::run,
    server::{Ended, Launch, refuses},
    source::{handler, krate},
};

/// Writes a package that a handler beside it can depend on.
fn neighbour(place: &Place) {
    fs::create_dir_all(place.join("neighbour/src")).expect("the test directory is writable");
    place.file("neighbour/Cargo.toml", "[package]\nname = \"neighbour\"\nedition = \"2021\"\n");
    place.file("neighbour/src/lib.rs", "pub const TEXT: &str = \"from next door\";\n");
}

/// Checks that the compiler points at this file and line.
fn points_at(ended: &Ended, place: &str) {
    let is_it = |line: &str| line.trim_start().strip_prefix("--> ").is_some_and(|at| at.contains(place));
    assert!(ended.stderr.lines().any(is_it), "`{place}` is not pointed at: {}", ended.stderr);
}

#[test]
fn a_file_is_built_once_and_served() {
    let place = Place::new();
    let file = place.file("hello.rs", handler("Hello!"));
    for is_new in [true, false] {
        let server = Launch::file(&file).start();
        assert_eq!(server.get("/").text(), "Hello!");
        let log = server.log();
        assert!(is_new || !log.iter().any(|line| line.contains("Compiling") || line.contains("Finished")), "{log:#?}");
    }
}

#[test]
fn doc_opens_the_sdks_documentation_and_prints_its_url() {
    let place = Place::new();
    let (opened, cache) = (place.join("opened"), place.join("a cache"));
    let browser = place.file("browser", format!("#!/bin/sh\necho \"$#\" \"$1\" >> '{}'\n", opened.display()));
    fs::set_permissions(&browser, Permissions::from_mode(0o755)).expect("we own the file");
    // What users set for themselves does not change what is built, and where.
    let doc = |browser: &Path| {
        let launch = Launch::bare().at(&place).flags(["doc"]).env("XDG_CACHE_HOME", &cache).env("BROWSER", browser);
        launch.env("RUSTDOCFLAGS", "--no-such-flag").env("CARGO_TARGET_DIR", place.join("elsewhere")).run()
    };
    let first = doc(&browser);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(!first.stderr.contains("warning") && !first.stderr.contains("Generated"), "{}", first.stderr);
    let url = first.stdout.strip_suffix('\n').expect("the URL is a line");
    let page = url.strip_prefix("file://").expect("it is a file").replace("%20", " ");
    let text = fs::read_to_string(&page).expect("the page exists");
    assert!(text.contains("handler!") || text.contains("macro.handler.html"), "it documents the SDK");
    let below = Path::new(&page).parent().expect("the page is in a directory");
    for part in ["testing/index.html", "struct.Environ.html"] {
        assert!(below.join(part).exists(), "{part}: for this machine, where tests run");
    }
    assert_eq!(fs::read_to_string(&opened).expect("the browser has run"), format!("1 {url}\n"));

    // It is built once, needs no browser, and does not disturb handlers.
    let second = doc("/nowhere-at-all".as_ref());
    assert_eq!((second.code, &*second.stdout), (Some(0), &*first.stdout));
    assert!(second.stderr.starts_with("wasmserve: note: cannot open a browser; open file://"), "{}", second.stderr);
    assert_eq!(second.stderr.lines().count(), 1, "nothing is built again: {}", second.stderr);
    let server = Launch::file(&place.file("hello.rs", handler("Hello!"))).env("XDG_CACHE_HOME", &cache).start();
    assert_eq!(server.get("/").text(), "Hello!");
    drop(server);

    assert_eq!(Launch::bare().flags(["clean"]).env("XDG_CACHE_HOME", &cache).run().code, Some(0));
    assert!(!Path::new(&page).exists());
    assert_eq!(place.files().iter().filter(|file| file.ends_with("index.html")).count(), 0, "it is nowhere else");
}

#[test]
fn files_with_the_same_name_are_not_confused() {
    let (one, other) = (Place::new(), Place::new());
    let mount = |at: &str, file: PathBuf| ["--mount".to_owned(), format!("{at}={}", file.display())];
    let launch = Launch::bare().flags(["--addr", "127.0.0.1:0"]);
    let launch = launch.flags(mount("/one", one.file("hello.rs", handler("one"))));
    let server = launch.flags(mount("/other", other.file("hello.rs", handler("other")))).start();
    assert_eq!((server.get("/one").text(), server.get("/other").text()), ("one", "other"));
}

#[test]
fn compiler_errors_are_shown_with_the_files_own_lines() {
    let place = Place::new();
    neighbour(&place);
    let wrong = handler("x").replace("\"x\"", "1");
    let dependencies = "[dependencies]\nneighbour = { path = \"neighbour\" }\n";
    let comment: String = dependencies.lines().map(|line| format!("//! {line}\n")).collect();
    for (file, text, line) in [
        ("plain.rs", wrong.clone(), 6),
        ("frontmatter.rs", format!("#!/usr/bin/env wasmserve\n---\n{dependencies}---\n{wrong}"), 11),
        ("comment.rs", format!("//! ```cargo\n{comment}//! ```\n{wrong}"), 10),
    ] {
        let path = place.file(file, text);
        let ended = Launch::file(&path).run();
        assert_eq!(ended.code, Some(4), "{ended:?}");
        points_at(&ended, &format!("{}:{line}:5", path.display()));
        assert!(ended.stderr.contains("expected `&str`, found integer"), "{ended:?}");
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert_eq!(last, format!("wasmserve: `{}` does not build", path.display()));
        assert!(!ended.stderr.contains('\u{1b}'), "colours are for terminals: {ended:?}");
    }
}

#[test]
fn a_file_speaks_json_without_a_feature() {
    let place = Place::new();
    let text = "use wasmserve_guest::prelude::*;\n\nhandler!(app);\n\n\
                fn app(environ: Environ) -> Json<serde_json::Value> {\n    \
                Json(json!({ \"path\": environ.path() }))\n}\n";
    let server = Launch::file(&place.file("hello.rs", text)).start();
    assert_eq!(server.get("/a").text(), "{\"path\":\"/a\"}");
}

#[test]
fn l6_with_json_the_compilers_messages_are_objects_too() {
    let place = Place::new();
    let source = |body: &str| {
        format!(
            "use wasmserve_guest::prelude::*;\n\nhandler!(app);\n\nfn app(_: Environ) -> &'static str {{\n    {body}\n}}\n"
        )
    };
    let file = place.file("hello.rs", source("\"one\""));
    let server = Launch::file(&file).flags(["--access-log-format", "json"]).start();
    place.file("hello.rs", source("nothing"));
    let log = server.log_with(|log| log.iter().any(|line| line.contains("does not build")));
    let objects: Vec<serde_json::Value> =
        log.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let is_the_error = |object: &serde_json::Value| {
        object["event"] == "build" && object["text"].as_str().is_some_and(|text| text.starts_with("error[E0425]"))
    };
    assert!(objects.iter().any(is_the_error), "{objects:#?}");
    assert_eq!(server.get("/").text(), "one");
}

#[test]
fn text_of_the_request_outlives_its_statement() {
    let place = Place::new();
    let text = "use wasmserve_guest::prelude::*;\n\nhandler!(app);\n\nfn app(environ: Environ) -> Result {\n    \
                let query = environ.query().get(\"x\").unwrap_or(\"\");\n    \
                let cookie = environ.cookies().get(\"x\").unwrap_or(\"\");\n    \
                let header = environ.header(\"X\").unwrap_or(\"\").strip_prefix(\"a=\").unwrap_or(\"\");\n    \
                let field = environ.form()?.get(\"x\").unwrap_or(\"\");\n    \
                match environ.method() {\n        \"POST\" => {}\n        _ => return (405, ()).into_response(),\n    }\n    \
                format!(\"{query} {cookie} {header} {field}\").into_response()\n}\n";
    let server = Launch::file(&place.file("hello.rs", text)).start();
    let response = server.ask(
        "POST /?x=1 HTTP/1.1\r\nHost: x\r\nCookie: x=2\r\nX: a=3\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 3\r\n\r\nx=4",
    );
    assert_eq!(response.text(), "1 2 3 4");
}

#[test]
fn beginners_mistakes_are_reported_with_their_remedy() {
    let place = Place::new();
    for (name, text, hint) in [
        ("forgotten.rs", handler("x").replace("handler!(app);", ""), "add `handler!(app);`, where `app` is"),
        ("undeclared.rs", format!("use regex::Regex;\n{}", handler("x")), "`//! regex = \"*\"`"),
        ("inline.rs", handler("x").replace("\"x\"", "regex::text()"), "`//! regex = \"*\"`"),
        ("text.rs", handler("x").replace("\"x\"", "\"x\".as_str()"), "remove `.as_str()`"),
    ] {
        let ended = Launch::file(&place.file(name, text)).run();
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert_eq!(ended.code, Some(4), "{ended:?}");
        assert!(last.contains("does not build; ") && last.contains(hint), "{ended:?}");
    }
}

#[test]
fn a_file_that_prints_a_response_is_served_and_told_how_when_it_does_not() {
    let place = Place::new();
    let file = place.file("hello.rs", "fn main() { println!(\"Content-Type: text/plain\\n\\nhello\") }\n");
    assert_eq!(Launch::file(&file).start().get("/").text(), "hello\n");
    let file = place.file("hello.rs", "fn main() { println!(\"hello\") }\n");
    let server = Launch::file(&file).start();
    assert_eq!(server.get("/").status, 500);
    server.line_with(
        "has no colon: `hello`; print `Content-Type: text/plain` and an empty line first, or add `handler!(app);`",
    );
}

#[test]
fn what_cannot_answer_requests_is_reported_with_what_can() {
    let place = Place::new();
    for (name, app) in [
        ("number.rs", "fn app(_: Environ) -> i32 { 5 }"),
        ("future.rs", "async fn app(_: Environ) -> &'static str { \"x\" }"),
        ("reference.rs", "fn app(_: &Environ) -> &'static str { \"x\" }"),
        ("nothing.rs", "fn app() -> &'static str { \"x\" }"),
    ] {
        let text = format!("use wasmserve_guest::prelude::*;\n\nhandler!(app);\n\n{app}\n");
        let ended = Launch::file(&place.file(name, text)).run();
        for part in ["cannot answer requests", "not `async`", "`(status, body)`", "`Json(value)`"] {
            assert!(ended.stderr.contains(part), "{name}: {part}: {ended:?}");
        }
    }
}

#[test]
fn a_file_may_name_its_dependencies_in_frontmatter_or_in_its_comment() {
    let place = Place::new();
    neighbour(&place);
    let text = handler("x").replace("\"x\"", "neighbour::TEXT");
    let frontmatter = format!("---\n[dependencies]\nneighbour = {{ path = \"neighbour\" }}\n---\n\n{text}");
    let comment = format!(
        "//! Hello.\n//!\n//! ```cargo\n//! [dependencies]\n//! neighbour.path = \"neighbour\"\n//! ```\n\n{text}"
    );
    for (name, text) in [("frontmatter.rs", frontmatter), ("comment.rs", comment)] {
        let server = Launch::file(&place.file(name, text)).start();
        assert_eq!(server.get("/").text(), "from next door", "{name}");
    }
}

#[test]
fn what_may_precede_dependencies_does_not_hide_them() {
    let place = Place::new();
    neighbour(&place);
    let text = handler("x").replace("\"x\"", "neighbour::TEXT");
    let dependencies = "[dependencies]\nneighbour.path = \"neighbour\"\n";
    let comment: String = dependencies.lines().map(|line| format!("//! {line}\n")).collect();
    let licence = "/* Licence: /* MIT */\n */\n// Copyright.\n#![allow(unused)]\n";
    for (name, text) in [
        ("mark.rs", format!("\u{feff}---\n{dependencies}---\n{text}")),
        ("shebang.rs", format!("\u{feff}#!/usr/bin/env wasmserve\n\n----  cargo\t\n{dependencies}----\t\n{text}")),
        ("licence.rs", format!("\u{feff}{licence}//! ```cargo\n{comment}//! ```\n{text}")),
        ("block.rs", format!("{licence}/*!\n~~~ cargo\n{dependencies}~~~\n*/\n{text}")),
    ] {
        let file = place.file(name, text.replace('\n', "\r\n"));
        assert_eq!(Launch::file(&file).start().get("/").text(), "from next door", "{name}");
        // The compiler counts the lines as the user does.
        let wrong = text.replace("neighbour::TEXT", "1").replace('\n', "\r\n");
        let line = wrong.lines().position(|line| line == "    1").expect("the wrong line") + 1;
        let ended = Launch::file(&place.file(name, wrong)).run();
        points_at(&ended, &format!("{name}:{line}:5"));
    }
    let file = place.file("late.rs", format!("{licence}---\n{dependencies}---\n{text}"));
    refuses(Launch::file(&file), 4, &["late.rs`", "frontmatter in line 5 behind a comment", "move it to the top"]);
}

#[test]
fn a_script_is_recognized_by_its_shebang_whatever_its_name() {
    let place = Place::new();
    for (name, shebang) in [
        ("hello", "#!/usr/bin/env -S wasmserve"),
        ("my-first handler.v2", "\u{feff}#!/usr/bin/env wasmserve\r"),
        ("match", "#!/usr/local/bin/wasmserve --addr 127.0.0.1:0"),
    ] {
        let file = place.file(name, format!("{shebang}\n{}", handler("from a script")));
        assert_eq!(Launch::file(&file).start().get("/").text(), "from a script", "{name}");
    }
    let mut script = Command::new(place.join("hello"));
    fs::set_permissions(place.join("hello"), Permissions::from_mode(0o755)).expect("we own the file");
    let server = wasmserve_tests::guest::server();
    let path = env::join_paths(
        [server.parent().expect("a program is in a directory")]
            .into_iter()
            .map(Path::to_owned)
            .chain(env::split_paths(&env::var_os("PATH").expect("PATH is set"))),
    );
    script.envs(place::environment()).env("PATH", path.expect("the paths have no colons"));
    let ended = run(script.args(["--addr", "127.0.0.1:0", "--ttl", "1ms"]), "");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("listening on http://127.0.0.1:"), "{}", ended.stderr);
}

#[test]
fn flags_for_the_host_do_not_reach_a_handler() {
    let place = Place::new();
    let text =
        format!("{}#[cfg(not(wanted))]\ncompile_error!(\"the flags for handlers are missing\");\n", handler("x"));
    let file = place.file("hello.rs", text);
    fs::create_dir(place.join(".cargo")).expect("the test directory is writable");
    place.file(
        ".cargo/config.toml",
        "[build]\nrustflags = [\"-Clink-arg=-fuse-ld=mold\"]\ntarget = \"x\"\n[term]\nverbose = true\n",
    );
    let directory = krate(&place, "", &[("main.rs", "x")]);
    fs::create_dir(directory.join(".cargo")).expect("the test directory is writable");
    place.file("greet/.cargo/config.toml", "[build]\nrustflags = []\n");
    for source in [&file, &directory] {
        let output = place.join("out.wasm");
        let words = ["build".as_ref(), source.as_os_str(), "-o".as_ref(), output.as_os_str()];
        let ended = Launch::bare()
            .flags(words)
            .env("RUSTFLAGS", "-C target-cpu=native -D warnings")
            .env("CARGO_ENCODED_RUSTFLAGS", "-Clink-arg=-fuse-ld=mold")
            .env("CARGO_BUILD_RUSTFLAGS", "-Clink-arg=-fuse-ld=mold")
            .env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", "--cfg wanted --check-cfg cfg(wanted)")
            .env("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu")
            .env("CARGO_TARGET_DIR", place.join("elsewhere"))
            .env("CARGO_TERM_VERBOSE", "true")
            .env("CARGO_TERM_PROGRESS_WHEN", "always")
            .env("CARGO_TERM_PROGRESS_WIDTH", "80")
            .run();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for unwanted in ["not a recognized", "Running", "warning", "Building"] {
            assert!(!ended.stderr.contains(unwanted), "{}", ended.stderr);
        }
    }
}

#[test]
fn a_crate_is_built_with_its_own_lock_into_its_own_target_directory() {
    let place = Place::new();
    let directory = krate(&place, "", &[("main.rs", "Hello from a crate!")]);
    let server = Launch::file(&directory).start();
    assert_eq!(server.get("/").text(), "Hello from a crate!");
    assert!(directory.join("target/wasm32-wasip2/release/greet.wasm").is_file());

    place.file("greet/src/main.rs", handler("x").replace("\"x\"", "1"));
    let ended = Launch::file(&directory).run();
    assert_eq!(ended.code, Some(4));
    points_at(&ended, "src/main.rs:6:5");
}

#[test]
fn a_crate_without_a_program_or_with_several_is_refused_with_a_remedy() {
    let place = Place::new();
    let directory = krate(&place, "", &[("lib.rs", "x")]);
    refuses(Launch::file(&directory), 4, &["greet`", "no program", "src/main.rs"]);
    let place = Place::new();
    let directory = krate(&place, "", &[("bin/one.rs", "x"), ("bin/two.rs", "x")]);
    refuses(Launch::file(&directory), 4, &["several programs (one, two)", "default-run = \"one\""]);
    let place = Place::new();
    refuses(Launch::bare().flags([format!("crate:{}", place.display())]), 4, &["without a Cargo.toml"]);
}

#[test]
fn build_only_builds() {
    let place = Place::new();
    let file = place.file("hello.rs", handler("Built before."));
    let output = place.join("out.wasm");
    let ended = Launch::bare().flags(["build".as_ref(), file.as_os_str(), "-o".as_ref(), output.as_os_str()]).run();
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("{}\n", output.display())));
    assert_eq!(Launch::file(&output).start().get("/").text(), "Built before.");

    let wrong = place.file("wrong.rs", "fn main() { 1 }\n");
    let ended = Launch::bare().flags(["build".as_ref(), wrong.as_os_str(), "-o".as_ref(), output.as_os_str()]).run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    refuses(Launch::bare().flags(["build".as_ref(), output.as_os_str()]), 4, &["neither a Rust file nor a crate"]);
}

#[test]
fn stacks_show_functions_and_with_debug_lines_under_the_name_as_typed() {
    let place = Place::new();
    fs::create_dir(place.join("below")).expect("the test directory is writable");
    let deeply = "#[inline(never)]\nfn deeply() -> &'static str {\n    panic!(\"on purpose\")\n}\n";
    let text = format!("{}\n{deeply}", handler("x").replace("\"x\"", "deeply()"));
    let frontmatter = format!("---\n[dependencies]\n---\n{text}");
    let absolute = place.join("deep.rs");
    place.file("below/deep.rs", &text);
    place.file("below/copied.rs", frontmatter);
    place.file("deep.rs", text);
    let files = [("deep", Path::new("deep.rs"), 11), ("deep", Path::new("below/deep.rs"), 11)];
    for (name, file, line) in
        files.into_iter().chain([("deep", &*absolute, 11), ("copied", Path::new("below/copied.rs"), 14)])
    {
        let server = Launch::file(file).flags(["--debug"]).at(&place).start();
        let answer = server.get("/");
        assert_eq!(answer.status, 500);
        let at = format!("{}:{line}:5", file.display());
        assert!(answer.text().contains(&format!("panicked at {at}: on purpose")), "{}", answer.text());
        let frame = format!("  at {name}::deeply ({at})");
        assert!(answer.text().lines().any(|line| line == frame), "{frame}: {}", answer.text());
    }
}

#[test]
fn cargos_record_of_a_compiler_that_could_not_run_is_discarded() {
    let place = Place::new();
    place.file("hello.rs", handler("hello"));
    let build =
        || Launch::bare().flags(["build", "hello.rs"]).at(&place).env("XDG_CACHE_HOME", place.join("cache")).run();
    assert_eq!(build().code, Some(0));

    // As after a build in a directory that was removed meanwhile.
    let is_memory = |path: &PathBuf| path.ends_with(".rustc_info.json");
    let memory = place.files().into_iter().find(is_memory).expect("cargo caches information about its compiler");
    let mut info: Value =
        serde_json::from_slice(&fs::read(&memory).expect("the file is readable")).expect("valid JSON");
    let outputs = info["outputs"].as_object_mut().expect("the cached output of the compiler");
    for output in
        outputs.values_mut().filter(|output| !output["stdout"].as_str().unwrap_or_default().starts_with("rustc "))
    {
        output["success"] = false.into();
        output["code"] = 1.into();
    }
    fs::write(&memory, info.to_string()).expect("the test directory is writable");
    place.file("hello.rs", handler("hello again"));
    let ended = build();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// Runs cargo in a crate as a user would, without the environment of these tests.
fn cargo(directory: &Path, words: &[&str]) -> String {
    let mut cargo = Command::new("cargo");
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME" {
            cargo.env_remove(name);
        }
    }
    // Its dependencies have been fetched, because this workspace has them too.
    let built = place::base().join("crate");
    cargo.envs(place::environment()).env_remove("RUSTFLAGS").env("CARGO_TARGET_DIR", &built).current_dir(directory);
    let ended = run(cargo.args(words).arg("--offline"), "");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

#[test]
fn a_crate_from_new_passes_its_tests_and_is_served() {
    let place = Place::new();
    let ended = Launch::bare().flags(["new", "greet", "--crate", "--template", "verbs"]).at(&place).run();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(ended.stdout.contains("cd greet\n"), "{}", ended.stdout);
    let directory = place.join("greet");
    let verbs =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/verbs.rs")).expect("the file is readable");
    assert!(fs::read_to_string(directory.join("src/main.rs")).is_ok_and(|text| text == verbs));
    assert!(cargo(&directory, &["test"]).contains("test result: ok. 2 passed; 0 failed"));
    cargo(&directory, &["build", "--release", "--target=wasm32-wasip2"]);
    let component: PathBuf = place::base().join("crate/wasm32-wasip2/release/greet.wasm");
    assert_eq!(Launch::file(&component).start().get("/").text(), "Test from GET!");
}

#[test]
fn the_stack_of_a_panic_begins_with_the_handlers_own_line_although_it_was_inlined() {
    let place = Place::new();
    let handler = "use wasmserve_guest::prelude::*;\n\nhandler!(app);\n\n\
                   fn app(environ: Environ) -> String {\n    \
                   format!(\"{}\\n\", environ.query().get(\"n\").unwrap())\n}\n";
    place.file("greet.rs", handler);
    let server = Launch::file(Path::new("greet.rs")).at(&place).start();
    assert_eq!(server.get("/").status, 500);
    assert_eq!(server.get("/?n=1").text(), "1\n");
    let log = server.stop();
    let lines: Vec<_> = log.iter().filter(|line| line.starts_with("[1]")).collect();
    // As in docs/one-file.md.
    let expected = [
        "[1] 500 trap: panicked at greet.rs:6:46: called `Option::unwrap()` on a `None` value (GET / HTTP/1.1)",
        "[1]   at greet::app (greet.rs:6:46)",
        "[1]   (1 library frame)",
    ];
    assert_eq!(lines, expected);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/one-file.md");
    assert!(fs::read_to_string(page).expect("the page is readable").contains(&expected.join("\n")));
}

#[test]
fn the_stack_of_a_loop_names_the_handlers_function_although_it_was_inlined() {
    let place = Place::new();
    let spins = handler("x").replace("\"x\"", "loop {\n        std::hint::black_box(());\n    }");
    let server = Launch::file(&place.file("spins.rs", spins)).flags(["--cpu-time", "300ms"]).start();
    assert_eq!(server.get("/").status, 504);
    let log = server.stop();
    assert!(log.iter().any(|line| line == "[1]   at spins::app"), "{log:#?}");
}

#[test]
fn the_tests_of_a_file_run_natively_with_its_dependencies_and_their_exit_code() {
    let place = Place::new();
    neighbour(&place);
    let text = handler("x").replace("\"x\"", "neighbour::TEXT");
    let tests = "#[test]\nfn it_answers() {\n    let answer = wasmserve_guest::testing::call(app, Environ::for_test([(\"A\", \"b\")]));\n    \
                 assert_eq!(answer.body, b\"from next door\");\n}\n\n#[test]\nfn it_fails() {\n    panic!(\"on purpose\")\n}\n";
    let block = "//! ```cargo\n//! [dependencies]\n//! neighbour.path = \"neighbour\"\n//! ```\n";
    place.file("hello.rs", format!("{block}{text}\n{tests}"));
    let test = |words: &[&str]| Launch::bare().at(&place).flags(["test", "hello.rs"]).flags(words).run();
    let ended = test(&[]);
    assert_eq!(ended.code, Some(101), "{ended:?}");
    assert!(ended.stdout.contains("1 passed; 1 failed"), "{ended:?}");
    let ended = test(&["--", "it_answers"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("1 passed; 0 failed"), "{ended:?}");

    place.file("wrong.rs", handler("x").replace("\"x\"", "1"));
    let ended = Launch::bare().at(&place).flags(["test", "wrong.rs"]).run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.stderr.ends_with("wasmserve: `wrong.rs` does not build\n"), "{ended:?}");
}
