//! Several handlers in one server, and the variables that describe where a handler is.

use std::fs;

use wasmserve_tests::{
    client::Response,
    guest,
    place::Place,
    server::{Launch, Server, refuses},
};

/// The value of a variable in the output of the example `environ`.
fn variable<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
}

#[test]
fn e3_the_longest_mount_wins_and_the_path_is_split_into_two_variables() {
    let at = |path: &str, name: &str| format!("{path}={}", guest::program(name).display());
    let server = Launch::program("hello")
        .flags(["--mount", &at("/app", "environ"), "--mount", &at("/app/echo/", "echo")])
        .start();
    for target in ["/", "/application", "/%61pp", "/x/app"] {
        assert_eq!(server.get(target).text(), "Hello, World!\n", "{target}");
    }
    for (target, script_name, path_info) in
        [("/app", "\"/app\"", "\"\""), ("/app/", "\"/app\"", "\"/\""), ("/app/a%20b?q", "\"/app\"", "\"/a b\"")]
    {
        let response = server.get(target);
        assert_eq!(variable(&response, "SCRIPT_NAME"), Some(script_name), "{}", response.text());
        assert_eq!(variable(&response, "PATH_INFO"), Some(path_info), "{}", response.text());
        assert_eq!(variable(&response, "wasmserve.mount"), Some("\"/app\""));
    }
    let echoed = server.ask("POST /app/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(echoed.text(), "hi");
}

#[test]
fn f32_e3_a_path_without_a_mount_is_a_404_and_the_connection_stays_open() {
    let mount = format!("/app={}", guest::program("hello").display());
    let server = Launch::bare().flags(["--addr", "127.0.0.1:0", "--mount", &mount]).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /app HTTP/1.1\r\nHost: x\r\n\r\n");
    let missing = client.response();
    assert_eq!((missing.status, missing.field("wasmserve-fault")), (404, Some("not-mounted")));
    assert_eq!(client.response().text(), "Hello, World!\n");
    server.line_with("404 not-mounted: no handler is mounted at this path; add one with --mount PATH=HANDLER");
}

#[test]
fn a_component_of_several_kinds_is_of_the_kind_that_the_user_names() {
    // A binary of Rust is also a program, which here prints nothing.
    let both = guest::program("tells_its_request_in_wasi_http");
    let at = |path: &str, kind: &str| format!("{path}={kind}{}", both.display());
    let mounts = [at("/any", ""), at("/http", "wasi-http:"), at("/cgi", "cgi:")];
    let flags = mounts.iter().flat_map(|mount| ["--mount", mount]);
    let server = Launch::bare().flags(["--addr", "127.0.0.1:0"]).flags(flags).start();
    let fault = |path: &str| server.get(path).field("wasmserve-fault").map(str::to_owned);
    assert_eq!(["/any", "/http", "/cgi"].map(fault), [None, None, Some("bad-cgi-head".to_owned())]);

    let why = "it is not of the kind `gateway:`, because it does not export `wasmserve:gateway/handler@0.1.0`";
    refuses(Launch::bare().flags([format!("gateway:{}", both.display())]), 4, &[why]);
}

#[test]
fn the_kind_of_a_handler_comes_from_its_bytes_or_a_prefix() {
    let place = Place::new();
    let component = fs::read(guest::program("hello")).expect("the guest is built");
    let odd = place.file("odd.rs", component);
    let at = |path: &str, handler: &str| format!("{path}={handler}{}", odd.display());
    let flags = ["--addr", "127.0.0.1:0", "--mount", &at("/bytes", ""), "--mount", &at("/prefix", "component:")];
    let server = Launch::bare().flags(flags).start();
    for target in ["/bytes", "/prefix"] {
        assert_eq!(server.get(target).text(), "Hello, World!\n", "{target}");
    }
}

fn environ(flags: &[&str]) -> Server {
    Launch::program("environ").flags(flags).start()
}

#[test]
fn t5_asterisk_is_answered_by_the_host_or_by_the_handler() {
    const ASTERISK: &str = "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = environ(&[]).ask(ASTERISK);
    assert_eq!((answer.status, answer.field("content-length"), &*answer.body), (200, Some("0"), &b""[..]));
    assert!(answer.field("allow").is_some_and(|allow| allow.contains("GET")), "{answer:?}");
    let answer = environ(&["--asterisk", "app"]).ask(ASTERISK);
    assert_eq!(variable(&answer, "PATH_INFO"), Some("\"*\""));
}

#[test]
fn e6_server_name_is_the_address_unless_the_user_sets_it() {
    let server = environ(&[]);
    let answer = server.ask("GET / HTTP/1.1\r\nHost: evil:1\r\n\r\n");
    assert_eq!(variable(&answer, "SERVER_NAME"), Some("\"127.0.0.1\""));
    assert_eq!(variable(&answer, "SERVER_PORT"), Some(&*format!("\"{}\"", server.addr().port())));
    let answer = environ(&["--server-name", "example.org"]).get("/");
    assert_eq!(variable(&answer, "SERVER_NAME"), Some("\"example.org\""));
}

#[test]
fn k9_k10_a_flag_decides_whether_a_half_closed_client_is_answered() {
    let hello = |flags: &[&str]| {
        let server = Launch::program("reads_input").flags(flags).start();
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        client.end();
        client.try_response().map(|answer| answer.status)
    };
    assert_eq!(hello(&[]), Some(200));
    // With the flag, a half-close ends the exchange.
    let server = Launch::program("sleeps").flags(["--abort-on-half-close"]).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.end();
    assert!(client.try_response().is_none());
    server.line_with("\"GET / HTTP/1.1\" 499");
    assert_eq!(server.get("/fine").status, 200);
}

#[test]
fn a_grant_for_a_mount_is_for_its_handler_only() {
    let place = Place::new();
    place.file("page", "content");
    let dir = format!("/uses_files:{}::/data:ro", place.display());
    let flags = ["--env", "/reads_env:TOKEN=of one", "--env", "SHARED=of all", "--dir", &dir];
    let mounted = ["reads_env", "uses_files", "tells_its_request", "reads_files"];
    let server = Launch::mounted(&mounted).flags(flags).start();
    assert_eq!(
        server.get("/reads_env/?name=TOKEN").text(),
        "process: [(\"SHARED\", \"of all\"), (\"TOKEN\", \"of one\")]\nenviron: Some(\"of one\")"
    );
    assert!(!server.get("/tells_its_request").text().contains("of one"));
    assert_eq!(server.get("/uses_files/read?path=/data/page").text(), "Ok(\"content\")");
    assert!(server.get("/reads_files?file=/data/page").text().starts_with("Err("));
    let log = server.stop();
    let granted: Vec<_> = log.iter().filter(|line| line.starts_with("granted: ")).map(String::as_str).collect();
    assert_eq!(
        granted,
        ["granted: --env SHARED", &format!("granted: --dir {dir}"), "granted: --env /reads_env:TOKEN"],
        "the longest path first"
    );
}

#[test]
fn a_limit_for_a_mount_is_for_its_handler_only() {
    let flags = [
        "--timeout",
        "/sleeps:200ms",
        "--cpu-time",
        "/spins:200ms",
        "--max-body",
        "/ignores_input:2",
        "--buffer-body",
        "/tells_its_request:10",
        "--max-log",
        "/prints:64",
    ];
    let mounted = ["sleeps", "spins", "ignores_input", "reads_input", "tells_its_request", "prints"];
    let server = Launch::mounted(&mounted).flags(flags).start();
    let fault = |request: &str| server.ask(request).field("wasmserve-fault").map(str::to_owned);
    let post =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    assert_eq!(fault("GET /sleeps HTTP/1.1\r\nHost: test\r\n\r\n").as_deref(), Some("wall-limit"));
    assert_eq!(fault("GET /spins HTTP/1.1\r\nHost: test\r\n\r\n").as_deref(), Some("cpu-limit"));
    assert_eq!(fault(&post("/ignores_input")).as_deref(), Some("body-too-large"));
    assert_eq!(fault(&post("/reads_input")), None);
    let chunked =
        "POST /tells_its_request HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert!(server.ask(chunked).text().contains("environ CONTENT_LENGTH 3\n"), "its body is read before it starts");
    let prints = server.get("/prints");
    assert_eq!(prints.status, 200);
    server.line_with("exceeds 64 bytes");
}

#[test]
fn a_grant_or_limit_for_a_path_that_is_not_a_mount_is_refused() {
    let launch = |flags: [&str; 2]| Launch::mounted(&["hello", "prints"]).flags(flags);
    for flags in [["--timeout", "/prnts:1s"], ["--env", "/prnts:A=1"], ["--allow-net", "/prnts:127.0.0.1:1"]] {
        let parts = [flags[0], "no handler is mounted at `/prnts`", "mounted are `/prints`, `/hello`"];
        refuses(launch(flags), 2, &parts);
    }
}
