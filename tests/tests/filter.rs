//! Filters in front of handlers (`--wrap`).

use std::{fs, io::Write as _, path::Path, thread};

use wasmserve_tests::{
    client::{End, Response, with_length},
    guest,
    http2::{self, Http2},
    place::Place,
    server::{Launch, Server, refuses},
};

/// `--wrap` with the filter of the tests and these options.
fn told(options: &str) -> String {
    let comma = if options.is_empty() { "" } else { "," };
    format!("--wrap={}{comma}{options}", guest::program("filters_as_told").display())
}

/// A server of a handler behind filters, the outermost one first.
fn behind(filters: &[&str], handler: &str) -> Server {
    Launch::program(handler).flags(filters.iter().map(|options| told(options))).start()
}

/// A handler behind filters that are built in.
fn wrapped(filters: &[&str], handler: &str) -> Launch {
    Launch::program(handler).flags(filters.iter().map(|filter| format!("--wrap={filter}")))
}

fn put(body: &str) -> String {
    format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn the_first_filter_is_the_outermost_one() {
    let server = behind(&["mark=A", "mark=B", "mark=C"], "tells_its_request");
    let response = server.get("/");
    assert_eq!((response.status, response.end), (200, End::Whole));
    assert!(response.text().contains("environ HTTP_X_MARKS A0B0C0\n"), "{}", response.text());
    assert_eq!(response.values("X-Layer"), ["C", "B", "A"]);
    server.line_with("[1] log: A: B: C: handled");
}

#[test]
fn a_filter_changes_variables_and_header_fields_together() {
    let server = behind(&["mark=A"], "tells_its_request");
    let response = server.ask("GET / HTTP/1.1\r\nHost: x\r\nx-MARKS: first \r\nX-Secret: s\r\nx_secret: t\r\n\r\n");
    let lines: Vec<&str> = response.text().lines().collect();
    for line in ["environ HTTP_X_MARKS firstA0", "header X-Marks firstA0", "header x_secret t"] {
        assert_eq!(lines.iter().filter(|other| **other == line).count(), 1, "{line}: {lines:?}");
    }
    let starts = |start: &str| lines.iter().any(|line| line.to_ascii_lowercase().starts_with(start));
    assert!(!starts("environ http_x_secret") && !starts("header x-secret"), "{lines:?}");
    assert!(!lines.contains(&"header x-MARKS first"), "{lines:?}");
    // Only the bytes are what the client sent.
    assert!(lines.iter().any(|line| line.starts_with("raw-head ") && line.contains("x-MARKS: first")), "{lines:?}");
}

#[test]
fn a_filter_answers_without_what_is_behind_it() {
    let server = behind(&["mark=A", "answer=402", "panic=before"], "panics");
    let response = server.get("/");
    assert_eq!((response.status, response.text(), response.end), (402, "answered\n", End::Whole));
    assert_eq!(response.values("X-Layer"), ["A"], "the filter further out sees the answer");
    let head = with_length(|| server.ask("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!((head.status, head.field("Content-Length"), head.text()), (402, Some("9"), ""));
}

#[test]
fn a_filter_that_refuses_the_body_leaves_the_connection_usable() {
    let server = behind(&["answer=402"], "echo");
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(put("hello"));
        assert_eq!(client.response().status, 402);
    }
}

#[test]
fn bodies_are_changed_while_they_are_streamed_both_ways() {
    let server = behind(&["upper,mark=.", "input", "mark=B"], "echo");
    let mut client = server.connect();
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    let head = client.head().expect("the response begins before the request has ended");
    assert_eq!((head.status, head.field("Content-Length")), (200, None));
    let mut sender = client.sender();
    let mut body = client.body(&head);
    assert_eq!(body.next().as_deref(), Some(&b"ONE"[..]));
    sender.write_all(b"3\r\ntwo\r\n").expect("the server reads");
    assert_eq!(body.next().as_deref(), Some(&b"TWO"[..]));
    sender.write_all(b"0\r\n\r\n").expect("the server reads");
    let rest: Vec<u8> = std::iter::from_fn(|| body.next()).flatten().collect();
    assert_eq!((String::from_utf8_lossy(&rest).into_owned(), body.end()), ("!.".into(), End::Whole));
}

#[test]
fn a_short_body_has_a_length_after_it_was_changed() {
    // If the handler has it in one piece.
    let server = behind(&["upper,mark=and-more"], "verbs");
    let response = with_length(|| server.get("/"));
    assert!(response.text().ends_with("and-more"), "{}", response.text());
    // Otherwise it is streamed, and its length is not known.
    let server = behind(&["upper,mark=and-more"], "hello");
    assert_eq!(server.get("/").text(), "HELLO, WORLD!\nand-more");
    let mut client = server.connect();
    for _ in 0..2 {
        // Nothing follows the head, or the next one would not be understood.
        client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response_to_head().status, 200);
    }
}

#[test]
fn a_replaced_body_has_its_own_length() {
    let server = behind(&["replace=other"], "tells_its_request");
    for request in [
        put("a body"),
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n".into(),
    ] {
        let response = server.ask(request);
        let text = response.text();
        assert!(text.contains("environ CONTENT_LENGTH 5\n") && text.contains("body other\n"), "{text}");
        assert!(!text.contains("TRANSFER_ENCODING") && !text.contains("trailer"), "{text}");
    }
}

#[test]
fn a_large_body_passes_through_filters_whole() {
    let server = behind(&["mark=A", "upper", "input"], "echo");
    let body = "0123456789abcdef".repeat(1 << 17);
    let mut client = server.connect();
    let mut sender = client.sender();
    thread::scope(|scope| {
        scope.spawn(|| sender.write_all(put(&body).as_bytes()).expect("the server reads"));
        let response = client.response();
        assert_eq!((response.status, response.end), (200, End::Whole));
        assert!(response.text() == body.to_uppercase() + "!", "{} bytes", response.text().len());
    });
}

#[test]
fn a_panic_in_a_filter_names_the_filter_and_its_function() {
    for place in ["before", "head", "write", "after"] {
        let server = Launch::program("hello").flags([told("mark=A"), told(&format!("upper,panic={place}"))]).start();
        let response = server.get("/");
        let expected = if place == "after" { 200 } else { 500 };
        assert_eq!(response.status, expected, "{place}");
        let reason = server.line(|line| line.contains("trap: ") && line.contains(&format!("told to panic in {place}")));
        assert!(reason.contains("the filter `") && reason.contains("filters_as_told.wasm`: panicked at"), "{reason}");
        let frames = server.lines(2, |line| line.contains("]   at "));
        assert!(frames[0].contains("AsTold::fail"), "{frames:?}");
        assert!(frames[1].contains(&format!("::{place}, in the filter `filters_as_told.wasm`")), "{frames:?}");
        assert_eq!(server.get("/").status, expected, "the next request is served the same");
    }
}

#[test]
fn a_panic_of_the_handler_passes_through_filters_and_names_none() {
    let server = behind(&["mark=A", "upper,recover"], "panics");
    assert_eq!(server.get("/").status, 500);
    let reason = server.line_with("[1] 500 trap: ");
    assert!(reason.contains("trap: panicked at"), "{reason}");
    let frame = server.line(|line| line.contains("[1]   at "));
    assert!(!frame.contains("in the filter"), "{frame}");
}

#[test]
fn a_filter_sees_an_error_of_the_handler_and_can_answer_in_its_stead() {
    let server = behind(&["mark=A"], "returns_an_error");
    assert_eq!(server.get("/").status, 500);
    server.line_with("[1] 500 exception: ");
    let server = behind(&["mark=A", "recover"], "returns_an_error");
    let response = server.get("/");
    assert_eq!((response.status, &*response.reason, response.end), (503, "Recovered", End::Whole));
    assert!(!response.text().is_empty(), "it has the text of the error");
}

#[test]
fn an_error_of_a_filter_names_it_and_is_seen_by_those_further_out() {
    let server = behind(&["mark=A", "err=before"], "panics");
    assert_eq!(server.get("/").status, 500);
    let reason = server.line_with("[1] 500 exception: the filter `");
    assert!(reason.contains("filters_as_told.wasm`: told to fail"), "{reason}");
    let server = behind(&["recover", "err=before"], "panics");
    let response = server.get("/");
    assert_eq!(response.status, 503);
    assert!(response.text().starts_with("the filter `"), "{}", response.text());
}

#[test]
fn f4_each_layer_has_its_own_memory() {
    let server = Launch::program("grows_memory").flags(["--max-memory=64MiB".into(), told("mark=A,hog=40")]).start();
    let response = server.get("/careful");
    let taken: u64 = response.text().parse().expect("it is a number of MiB");
    assert!((30..64).contains(&taken), "{taken} MiB beside 40 of the filter");
    let server = Launch::program("hello").flags(["--max-memory=64MiB".into(), told("hog=100")]).start();
    assert_eq!(server.get("/").status, 500);
    server.line_with("[1] 500 memory-limit: ");
    server.line(|line| line.contains("AsTold as wasmserve_guest::filter::Filter>::before, in the filter `"));
    assert_eq!(server.get("/").status, 500, "the next request is served the same");
    let server = Launch::program("hello").flags(["--max-memory=64MiB".into(), told("hog=40"), told("hog=40")]).start();
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_filter_that_never_forwards_is_stopped_at_its_limit() {
    for (options, flag, kind) in [("sleep", "--timeout=500ms", "wall-limit"), ("spin", "--cpu-time=200ms", "cpu-limit")]
    {
        let server = Launch::program("hello").flags([flag.to_owned(), told("mark=A"), told(options)]).start();
        assert_eq!(server.get("/").status, 504, "{options}");
        server.line_with(&format!("[1] 504 {kind}: "));
        let frame = server.line(|line| line.contains("[1]   at ") && line.contains("in the filter `"));
        assert!(frame.contains("AsTold as wasmserve_guest::filter::Filter>::before"), "{frame}");
    }
}

#[test]
fn many_filters_and_the_same_one_twice_serve_many_clients_at_once() {
    let filters: Vec<String> = (0..20).map(|at| format!("mark={at}.")).collect();
    let server = behind(&filters.iter().map(|filter| &**filter).collect::<Vec<_>>(), "tells_its_request");
    let expected: String = (0..20).map(|at| format!("{at}.0")).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let response = server.get("/");
                    assert_eq!((response.status, response.end), (200, End::Whole), "{response:?}");
                    assert!(response.text().contains(&format!("environ HTTP_X_MARKS {expected}\n")));
                }
            });
        }
    });
    let refused = Launch::program("hello").flags((0..40).map(|_| told("")));
    refuses(refused, 4, &["has 40 filters; at most 32 are possible"]);
}

#[test]
fn a_filter_need_not_export_what_it_does_not_change() {
    let nothing = format!("--wrap={}", guest::program("filters_nothing").display());
    let server = Launch::program("tells_its_request").flags([told("mark=A"), nothing.clone(), told("mark=B")]).start();
    let response = server.get("/");
    assert!(response.text().contains("environ HTTP_X_MARKS A0B0\n"), "{}", response.text());
    let server = Launch::program("returns_an_error").flags([nothing.clone(), told("recover")]).start();
    assert_eq!(server.get("/").status, 503);
    let server = Launch::program("returns_an_error").flags([nothing]).start();
    assert_eq!(server.get("/").status, 500);
}

#[test]
fn filters_are_for_one_mount_or_for_all() {
    let hello = guest::program("tells_its_request").display().to_string();
    let server = Launch::program("tells_its_request")
        .flags(["--mount".to_owned(), format!("/api={hello}"), told("mark=all")])
        .flags([format!("--wrap=/api:{}", told("mark=api").trim_start_matches("--wrap="))])
        .start();
    let marks = |target: &str| {
        let response = server.get(target);
        let line = response.text().lines().find_map(|line| line.strip_prefix("environ HTTP_X_MARKS "));
        line.unwrap_or_default().to_owned()
    };
    assert_eq!((marks("/"), marks("/api/x")), ("all0".into(), "all0api0".into()));
}

#[test]
fn what_is_not_a_filter_is_refused_with_the_remedy() {
    let wrap = |name: &str| Launch::program("hello").flags([format!("--wrap={}", guest::program(name).display())]);
    refuses(wrap("hello"), 4, &["hello.wasm` is not a filter: it is a handler"]);
    refuses(wrap("speaks_wasi_http"), 4, &["is not a filter: it speaks wasi:http", "filter!"]);
    refuses(wrap("speaks_wasi_http_3"), 4, &["is not a filter: it speaks wasi:http", "filter!"]);
    refuses(wrap("answers_as_cgi"), 4, &["is not a filter: it is a program"]);
    refuses(wrap("answers.py"), 4, &["is Python, not a filter"]);
    let place = Place::new();
    refuses(
        Launch::program("hello").flags([format!("--wrap={}", place.display())]),
        4,
        &["is a directory, not a filter"],
    );
    refuses(Launch::program("hello").flags(["--wrap=./no.wasm"]), 4, &["`./no.wasm`"]);
    refuses(Launch::program("hello").flags(["--wrap=gzip"]), 2, &["--wrap", "there is no filter `gzip`", "auth, cors"]);
}

#[test]
fn a_filter_that_is_served_as_a_handler_is_refused_with_the_remedy() {
    refuses(Launch::program("filters_as_told"), 4, &["is a filter; put it in front of a handler", "--wrap"]);
    refuses(Launch::program("filters_nothing"), 4, &["is a filter; put it in front of a handler", "--wrap"]);
}

#[test]
fn only_handlers_made_for_wasmserve_can_be_behind_a_filter() {
    let behind = |name: &str| Launch::program(name).flags(["--wrap=cors"]);
    refuses(behind("speaks_wasi_http"), 4, &["filters work only in front of handlers made for wasmserve", "wasi:http"]);
    refuses(behind("answers_as_cgi"), 4, &["filters work only in front of handlers", "it is a CGI program"]);
    let place = Place::new();
    place.file("index.html", "hello");
    refuses(Launch::file(&place).flags(["--wrap=cors"]), 4, &["is a directory, and filters work only"]);
}

#[test]
fn wrong_options_are_refused_before_anything_listens() {
    let wrap = |filter: &str| wrapped(&[filter], "hello");
    refuses(
        wrap("auth"),
        4,
        &["the filter `auth` refuses its options: it needs whom to let in", "auth,user=NAME:PASSWORD"],
    );
    let line = refuses(wrap("auth,user=secret"), 4, &["write user=NAME:PASSWORD"]);
    assert!(!line.contains("secret"), "{line}");
    refuses(wrap("cors,credentials"), 4, &["origins must be named"]);
    refuses(wrap("cors,orign=https://a.example"), 4, &["it has no option `orign`, but origin, credentials"]);
    refuses(wrap("delay-and-fail,delay=5"), 4, &["write a duration or a range, as in 200ms or 100ms..2s"]);
    refuses(wrap("delay-and-fail,fail=150%"), 4, &["write a share from 0% to 100%"]);
    refuses(wrap("auth,user=env:NOT_SET_HERE"), 2, &["`NOT_SET_HERE`, which is not set"]);
    let told = Launch::program("hello").flags([told("refuse")]);
    refuses(told, 4, &["filters_as_told.wasm` refuses its options: told to refuse"]);
}

#[test]
fn inspect_says_that_a_component_is_a_filter() {
    let ended = Launch::bare().flags(["inspect"]).flags([guest::program("filters_as_told")]).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("a filter: exports `wasmserve:gateway/filter@0.1.0`"), "{}", ended.stdout);
    assert!(ended.stdout.starts_with("served    in front of a handler"), "{}", ended.stdout);
}

#[test]
fn a_filter_is_reloaded_like_a_handler() {
    let place = Place::new();
    let bytes = |name: &str| fs::read(guest::program(name)).expect("the guest is built");
    let filter = place.file("filter.wasm", bytes("stamp"));
    let server = Launch::program("hello").flags([format!("--wrap={}", filter.display())]).start();
    assert!(server.get("/").field("Server-Timing").is_some());
    place.file("filter.wasm", bytes("hello"));
    let line = server.kept(1).pop().unwrap_or_default();
    assert!(line.contains("filter.wasm` is not a filter: it is a handler"), "{line}");
    assert!(server.get("/").field("Server-Timing").is_some());
    place.file("filter.wasm", bytes("filters_nothing"));
    server.served_anew(1);
    assert_eq!((server.get("/").field("Server-Timing"), server.get("/").text()), (None, "Hello, World!\n"));
}

#[test]
fn auth_lets_known_users_in_and_keeps_their_secrets() {
    let place = Place::new();
    place.file("users", "# those who may\nalice:sesame\nbob:x\n");
    let users = format!("auth,user=file:{},token=env:TEST_TOKEN", place.join("users").display());
    let server = wrapped(&[&users], "tells_its_request").env("TEST_TOKEN", "ci:c2VzYW1l").start();
    let ask = |field: &str| server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n"));
    let denied = ask("X-A: b");
    assert_eq!(denied.status, 401);
    assert_eq!(
        denied.values("WWW-Authenticate"),
        [r#"Basic realm="wasmserve", charset="UTF-8""#, r#"Bearer realm="wasmserve""#]
    );
    for (field, user, scheme) in [
        ("Authorization: Basic YWxpY2U6c2VzYW1l", "alice", "Basic"),
        ("Authorization: Bearer c2VzYW1l", "ci", "Bearer"),
    ] {
        let response = ask(field);
        let text = response.text();
        assert!(text.contains(&format!("environ REMOTE_USER {user}\n")), "{text}");
        assert!(text.contains(&format!("environ AUTH_TYPE {scheme}\n")), "{text}");
        assert!(!text.contains("environ HTTP_AUTHORIZATION") && !text.contains("header Authorization"), "{text}");
        assert!(!text.contains("bob") && !text.contains("TEST_TOKEN"), "{text}");
    }
    for field in ["Authorization: Basic YWxpY2U6d3Jvbmc=", "Authorization: Bearer x", "Remote-User: alice"] {
        assert_eq!(ask(field).status, 401, "{field}");
    }
    let mut client = Http2::connect(server.addr());
    let mut fields = http2::fields("GET", "/");
    let stream = client.ask(&fields);
    assert_eq!(client.response(stream).status, 401);
    fields.push(("authorization", "Basic YWxpY2U6c2VzYW1l"));
    let stream = client.ask(&fields);
    let response = client.response(stream);
    assert_eq!(response.status, 200);
    assert!(response.text().contains("environ REMOTE_USER alice\n"));
}

#[test]
fn cors_answers_a_preflight_whatever_the_path_is() {
    let server = wrapped(&["cors,origin=https://a.example", "auth,user=a:b"], "hello").start();
    let preflight = |origin: &str| {
        server.ask(format!(
            "OPTIONS /nowhere HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
        ))
    };
    let response = preflight("https://a.example");
    assert_eq!((response.status, response.text(), response.end), (204, "", End::Whole));
    assert_eq!(response.field("Access-Control-Allow-Origin"), Some("https://a.example"));
    assert_eq!(response.field("Access-Control-Allow-Methods"), Some("PUT"));
    assert_eq!(preflight("https://b.example").status, 403);
    // The answer of a filter behind it is for other origins, too.
    let response = server.ask("GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n\r\n");
    assert_eq!((response.status, response.field("Access-Control-Allow-Origin")), (401, Some("https://a.example")));
    assert_eq!(response.field("Vary"), Some("Origin"));
}

#[test]
fn delay_and_fail_cuts_drips_and_fails() {
    let server = wrapped(&["delay-and-fail,cut=100%,cut-after=5"], "hello").start();
    let response = server.get("/");
    assert_eq!((response.status, response.text(), response.end), (200, "Hello", End::Cut));
    server.line_with("cut after 5 bytes by delay-and-fail");
    let server = wrapped(&["delay-and-fail,drip=7/1ms"], "hello").start();
    let response = server.get("/");
    assert_eq!((response.text(), response.end), ("Hello, World!\n", End::Whole));
    let server = wrapped(&["delay-and-fail,path=/api/*,fail,status=429"], "hello").start();
    assert_eq!((server.get("/api/x").status, server.get("/").status), (429, 200));
}

/// The lines of a stack in the log.
fn frames(log: &[String], id: u64) -> Vec<String> {
    log.iter().filter(|line| line.starts_with(&format!("[{id}]   "))).cloned().collect()
}

#[test]
fn a_python_app_is_behind_filters_like_any_handler() {
    let place = Place::new();
    let app = "import time\n\ndef application(environ, start_response):\n    \
               start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
               yield environ.get('HTTP_X_MARKS', '-').encode()\n    \
               yield environ['wsgi.input'].read()\n    \
               if environ['PATH_INFO'] == '/fails':\n        raise ValueError('no disk')\n";
    let app = place.file("app.py", app);
    let launch = |filters: &[&str]| Launch::file(&app).flags(filters.iter().map(|options| told(options)));
    let server = launch(&["mark=A", "upper,input,mark=b"]).start();
    let response = server.ask(put("body"));
    assert_eq!((response.status, response.end), (200, End::Whole), "{response:?}");
    assert_eq!(response.text(), "A0B0BODY!b");
    assert_eq!(response.values("X-Layer"), ["b", "A"]);
    assert_ne!(server.get("/fails").end, End::Whole);
    server.line_with("no disk");
    // An edit is served as fast as without filters: nothing of Python is compiled again.
    place.file(
        "app.py",
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'new']\n",
    );
    server.served_anew(1);
    assert_eq!(server.get("/").text(), "NEWb");

    let server = launch(&["mark=A", "upper,panic=write"]).start();
    assert_eq!(server.get("/").status, 500);
    let log = server.log_with(|log| frames(log, 1).len() >= 2);
    let frames = frames(&log, 1);
    assert!(frames[0].contains("AsTold::fail") && frames[0].contains("in the filter `"), "{frames:?}");
    assert!(frames[1].contains("::write, in the filter `"), "{frames:?}");
    assert_eq!(server.get("/").status, 500);
}

#[test]
fn an_exported_handler_keeps_its_filters() {
    let place = Place::new();
    let output = place.join("exported.wasm");
    let exported = Launch::bare().flags(["export".as_ref(), guest::program("tells_its_request")]).flags([
        "--wrap=auth,user=alice:sesame".to_owned(),
        told("mark=A"),
        format!("-o{}", output.display()),
    ]);
    let ended = exported.run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("the options of `auth` are in the exported file"), "{}", ended.stderr);
    let server = Launch::file(&output).start();
    assert_eq!(server.get("/").status, 401);
    let response: Response = server.ask("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6c2VzYW1l\r\n\r\n");
    assert_eq!((response.status, response.values("X-Layer")), (200, vec!["A"]));
    assert!(response.text().contains("environ REMOTE_USER alice\n"), "{}", response.text());
    refuses(
        Launch::bare().flags(["export".as_ref(), guest::program("filters_as_told")]).flags([Path::new("-o"), &output]),
        4,
        &["cannot be exported: it is a filter"],
    );
}
