//! `wasmserve export` makes components that other hosts of `wasi:http` serve, and refuses what it cannot export.

use std::{collections::BTreeSet, fs, path::PathBuf};

use wasmserve_tests::{
    client::{End, Response},
    guest,
    place::Place,
    server::{Launch, Server, refuses},
};

/// What a host of `wasi:http/proxy` has.
const PROXY: [&str; 11] = [
    "wasi:cli/stderr@",
    "wasi:cli/stdin@",
    "wasi:cli/stdout@",
    "wasi:clocks/monotonic-clock@",
    "wasi:clocks/wall-clock@",
    "wasi:http/outgoing-handler@",
    "wasi:http/types@",
    "wasi:io/error@",
    "wasi:io/poll@",
    "wasi:io/streams@",
    "wasi:random/random@",
];

/// Exports a handler, which must succeed, into `out.wasm`.
fn export(place: &Place, handler: &str, flags: &[&str]) -> PathBuf {
    let ended = Launch::bare().at(place).flags(["export", handler, "-o", "out.wasm"]).flags(flags).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "out.wasm\n"), "{}", ended.stderr);
    place.join("out.wasm")
}

/// Exports a program of the tests.
fn exported(place: &Place, program: &str, flags: &[&str]) -> PathBuf {
    export(place, &guest::program(program).display().to_string(), flags)
}

fn serve(place: &Place, program: &str, flags: &[&str]) -> Server {
    Launch::file(&exported(place, program, flags)).start()
}

/// The report of `wasmserve inspect`.
fn inspect(place: &Place) -> String {
    let ended = Launch::bare().at(place).flags(["inspect", "out.wasm"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

fn text(response: &Response) -> &str {
    assert_eq!((response.status, response.end), (200, End::Whole), "{}", response.text());
    response.text()
}

/// A component in the text format, whose core module is `main`.
fn component(imports: &str, main: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            {imports}
            (core module $main
              {main}
              (memory (export "memory") 1)
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
              (func (export "handle") (result i32) (i32.const 16)))
            (core instance $i (instantiate $main))
            (func $handle (result (result (error string)))
              (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (instance $handler (export "handle" (func $handle)))
            (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))"#
    );
    wat::parse_str(text).expect("the text is valid")
}

/// A handler that returns the error `oh no`. It is not known where its heap is.
fn fails() -> Vec<u8> {
    component(
        "",
        r#"(data (i32.const 16) "\01\00\00\00\20\00\00\00\05") (data (i32.const 32) "oh no") (func (drop (memory.size)))"#,
    )
}

#[test]
fn a_rust_handler_becomes_one_module_that_needs_nothing_but_wasi_http() {
    for program in ["hello", "uses_files", "connects", "requests", "sleeps", "follows_a_script"] {
        let place = Place::new();
        exported(&place, program, &[]);
        let report = inspect(&place);
        let words: Vec<&str> = report.split_whitespace().collect();
        let imports = words.iter().filter(|word| word.starts_with("wasi:") && word.contains("@0.2."));
        let (exports, imports): (Vec<&str>, Vec<&str>) =
            imports.partition(|name| name.starts_with("wasi:http/incoming-handler@"));
        assert_eq!(exports, ["wasi:http/incoming-handler@0.2.0"], "{report}");
        for import in imports {
            assert!(PROXY.iter().any(|name| import.starts_with(name)), "{program} imports {import}");
        }
        assert_eq!(report.matches("initially, at most").count(), 1, "one memory: {report}");
    }
}

#[test]
fn an_exported_handler_answers_as_before_also_below_a_mount() {
    let place = Place::new();
    let mount = format!("/app={}", exported(&place, "hello", &[]).display());
    let server = Launch::program("hello").flags(["--mount", &mount]).start();
    for path in ["/", "/app", "/app/a"] {
        let response = server.get(path);
        assert_eq!(text(&response), "Hello, World!\n");
        assert_eq!(response.field("content-length"), Some("14"));
    }
}

#[test]
fn without_keep_a_handler_sees_neither_variables_nor_files() {
    let place = Place::new();
    place.file("note", "secret");
    let dir = format!("{}::/data:ro", place.display());
    let grants = ["--env", "API_KEY=7", "--dir", &dir];
    for (flags, variables, file) in [
        (&[][..], "process: []\nenviron: None", "Os { code: 44"),
        (&["--keep", "cli"], "process: [(\"API_KEY\", \"7\")]\nenviron: Some(\"7\")", "Ok(\"secret\")"),
    ] {
        let server = Launch::file(&exported(&place, "reads_env", flags)).flags(grants).start();
        assert_eq!(text(&server.get("/?name=API_KEY")), variables);
        let server = Launch::file(&exported(&place, "reads_files", flags)).flags(grants).start();
        let answer = server.get("/?file=/data/note");
        assert!(text(&answer).contains(file), "{}", answer.text());
    }
}

#[test]
fn hash_maps_have_a_seed_of_their_own_in_each_request() {
    let place = Place::new();
    let server = serve(&place, "hashes", &[]);
    let hashes: BTreeSet<String> = (0..3).map(|_| text(&server.get("/")).to_owned()).collect();
    assert_eq!(hashes.len(), 3, "{hashes:?}");
}

#[test]
fn connecting_fails_where_there_is_no_network_and_the_next_request_is_fine() {
    let place = Place::new();
    let server = serve(&place, "connects", &[]);
    for _ in 0..2 {
        let answer = server.get("/?addr=127.0.0.1:9");
        assert!(text(&answer).contains("Err"), "{}", answer.text());
    }
}

#[test]
fn a_handler_whose_heap_is_unknown_is_composed_and_its_error_is_a_500_with_the_reason_in_the_log() {
    let place = Place::new();
    place.file("fails.wasm", fails());
    let server = Launch::file(&export(&place, "fails.wasm", &[])).start();
    for _ in 0..2 {
        let response = server.get("/");
        assert_eq!((response.status, response.end), (500, End::Whole));
        assert_eq!(response.text(), "500 Internal Server Error: the handler failed\n");
        server.line_with("exception: oh no");
    }
    assert!(inspect(&place).matches("initially, at most").count() > 1);
}

#[test]
fn the_message_of_a_panic_is_in_the_log_of_any_host() {
    let place = Place::new();
    let server = serve(&place, "panics", &[]);
    assert_eq!(server.get("/").status, 500);
    server.line_with("stderr");
    server.line_with("panicked at");
}

#[test]
fn a_python_app_is_exported_with_what_it_has_imported() {
    let place = Place::new();
    place.file(
        "app.py",
        "import hashlib, json\n\
         def app(environ, start_response):\n    \
             start_response('200 OK', [('X-A', 'b')])\n    \
             key = hashlib.pbkdf2_hmac('sha256', b'passwd', b'salt', 1, 8)\n    \
             return [json.dumps([environ['QUERY_STRING'], key.hex()]).encode(), environ['wsgi.input'].read()]\n",
    );
    let server = Launch::file(&export(&place, "app.py", &[])).start();
    let response = server.ask("POST /?q HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    // RFC 7914, section 11.
    assert_eq!(text(&response), "[\"q\", \"55ac046e56e3089f\"]abc");
    assert_eq!(response.field("x-a"), Some("b"));
}

#[test]
fn what_is_no_handler_is_refused_in_one_line_that_says_why() {
    let place = Place::new();
    for program in ["hello", "speaks_wasi_http", "answers_as_cgi"] {
        fs::copy(guest::program(program), place.join(format!("{program}.wasm"))).expect("a place is writable");
    }
    let import = |name: &str| component(&format!(r#"(import "{name}" (instance (export "a" (func))))"#), "");
    place.file("stores.wasm", import("wasi:keyvalue/store@0.2.0-draft"));
    place.file("own.wasm", import("acme:queue/send@1.0.0"));
    place.file("text.wasm", "hello");
    place.file("cut.wasm", &fails()[..100]);
    for (handler, why) in [
        ("speaks_wasi_http.wasm", "`speaks_wasi_http.wasm` cannot be exported: it is a component of wasi:http already"),
        ("answers_as_cgi.wasm", "it is a CGI program; only handlers made for wasmserve can be exported"),
        ("stores.wasm", "it imports `wasi:keyvalue/store@0.2.0-draft`; `--with-kv` leaves that to the host"),
        ("own.wasm", "it imports `acme:queue/send@1.0.0`, which the hosts of wasi:http do not have"),
        ("text.wasm", "`text.wasm` is not a wasm component"),
        ("cut.wasm", "`cut.wasm` cannot be exported: it is not a valid component"),
        (".", "`.`"),
        ("gone.rs", "`gone.rs` "),
    ] {
        let launch = Launch::bare().at(&place).flags(["export", handler, "-o", "out.wasm"]);
        refuses(launch, 4, &[why]);
        assert!(!place.join("out.wasm").exists());
    }
    export(&place, "stores.wasm", &["--with-kv"]);
    refuses(Launch::bare().at(&place).flags(["export", "hello.wasm", "-o", "hello.wasm"]), 1, &["choose another name"]);
}
