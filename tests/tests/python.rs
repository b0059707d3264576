//! Python applications get what WSGI (PEP 3333) promises, as `wsgiref` keeps it, and fail as other handlers do.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
};

use wasmserve_tests::{
    client::{End, Response},
    place::Place,
    server::{Launch, Server, Shared},
};

/// A server of `answers.py` for tests that look at answers only.
fn shared() -> Shared {
    Shared::program("answers.py")
}

/// The lines of a whole 200.
fn lines(response: &Response) -> Vec<&str> {
    assert_eq!((response.status, response.end), (200, End::Whole), "{}", response.text());
    response.text().lines().collect()
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// A POST of a body in chunks of these lengths at most.
fn in_chunks(path: &str, body: &[u8], length: usize) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.chunks(length) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

/// A server of an application with this source.
fn serve(place: &Place, source: &str) -> Server {
    Launch::file(&place.file("app.py", source)).start()
}

/// An application that says hello, under a name.
fn hello(name: &str) -> String {
    format!("def {name}(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n")
}

#[test]
fn the_environ_has_the_types_that_wsgi_demands() {
    let response = shared().ask(&b"GET /is-typed HTTP/1.1\r\nHost: x\r\nX-A: caf\xe9\r\n\r\n"[..]);
    assert_eq!(lines(&response), ["http", "b'caf\\xe9'"]);
}

#[test]
fn the_validator_of_the_standard_library_finds_nothing_wrong() {
    let server = Server::start("answers.py");
    let response = server.ask(post("/validated?a=b", b"one\ntwo\nthree\nfour"));
    assert_eq!(response.text(), "[[b'one\\n', b'tw', b'o\\nt', b'hree\\n', b'four', b'']]");
    for line in ["[1] log: one", "[1] log: two", "[1] log: three"] {
        server.line_with(line);
    }
    assert_eq!(server.get("/validated").text(), "[[b'', b'', b'', b'']]");
    let head = server.ask("HEAD /validated HTTP/1.0\r\nHost: x\r\n\r\n");
    assert_eq!((head.status, head.text()), (200, ""));
}

#[test]
fn each_request_finds_the_module_as_it_was_after_its_import() {
    for _ in 0..3 {
        let response = shared().get("/counts-calls");
        assert_eq!(lines(&response), ["1", "False", "True"], "calls, the same random number, a later time");
    }
}

#[test]
fn what_is_random_differs_in_each_request() {
    let responses: Vec<_> = (0..5).map(|_| shared().get("/is-random")).collect();
    let all: Vec<&str> = responses.iter().flat_map(lines).collect();
    let different: BTreeSet<&&str> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (20, 20), "{all:?}");
}

#[test]
fn variables_are_those_that_are_granted_and_those_that_the_application_sets() {
    let server = Launch::program("answers.py").flags(["--env", "GREETING=hi"]).start();
    let response = server.get("/reads-the-environment");
    assert_eq!(lines(&response), ["GREETING=hi", "SET_BY_THE_APPLICATION=kept", "PATH=None"]);
    assert!(server.get("/describes").text().contains("\nGREETING='hi'\n"));
}

#[test]
fn a_body_is_read_in_full_by_line_and_by_length() {
    let server = shared();
    let body = vec![b'a'; 300_000];
    let response = server.ask(post("/reads", &body));
    assert_eq!(lines(&response)[..3], ["300000", "None", "300000"]);
    assert_eq!(lines(&server.ask(post("/reads-by-length", &body)))[0], "300000");
    assert_eq!(server.ask(post("/reads-lines", b"one\ntwo\n\nthree")).text(), "<one><two><><three>");
    assert_eq!(lines(&server.ask(post("/does-not-read", &body))), ["unread"]);
    assert_eq!(lines(&server.get("/reads")), ["None", "None", "0", "b''"]);
}

#[test]
fn a_body_is_read_while_it_arrives() {
    let mut client = shared().connect();
    client.send("POST /reads-lines HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\none\n");
    let head = client.head().expect("the response begins before the request has ended");
    let mut sender = client.sender();
    let mut body = client.body(&head);
    assert_eq!(body.next().as_deref(), Some(&b"<one>"[..]));
    sender.write_all(b"two\n").expect("the server reads");
    assert_eq!(body.next().as_deref(), Some(&b"<two>"[..]));
}

#[test]
fn i10_a_client_that_waits_for_100_continue_gets_it_when_the_application_reads() {
    let mut client = shared().connect();
    client.send("POST /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().expect("an interim response").status, 100);
    client.send("hello");
    assert_eq!(lines(&client.response())[2..], ["5", "b'hello'"]);
}

#[test]
fn i8_a_body_in_chunks_has_a_length_for_an_application_that_needs_one() {
    let server = shared();
    let body = vec![b'a'; 200_000];
    assert_eq!(lines(&server.ask(in_chunks("/reads-by-length", &body, 70_000)))[0], "200000");
    assert_eq!(lines(&server.ask(in_chunks("/reads", b"hello", 2))), ["5", "None", "5", "b'hello'"]);
    assert_eq!(lines(&server.ask(in_chunks("/reads", b"", 1))), ["0", "None", "0", "b''"]);
}

#[test]
fn a_body_in_chunks_that_is_too_long_to_be_counted_is_a_413_with_a_remedy() {
    let place = Place::new();
    let file = place.file("app.py", fs::read(wasmserve_tests::guest::program("answers.py")).expect("it is readable"));
    let long = in_chunks("/reads-by-length", &vec![b'a'; (16 << 20) + 1], 1 << 20);
    let server = Launch::file(&file).start();
    let mut client = server.connect();
    // It may be answered before all of it was sent.
    _ = client.try_send(&long);
    let refused = client.response();
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains("--buffer-body"), "{}", refused.text());
    server.line_with("[1] log: this application needs a Content-Length");
    assert_eq!(server.get("/hello").text(), "Hello, World!\n");
    let able = Launch::file(&file).flags(["--buffer-body", "20MiB"]).start();
    assert_eq!(lines(&able.ask(&long))[0], ((16 << 20) + 1).to_string());
}

#[test]
fn a_body_in_chunks_streams_to_a_framework_that_honours_the_end_of_its_input() {
    let place = Place::new();
    // What counts is that the framework is loaded.
    place.file("pyramid.py", "");
    let server = serve(
        &place,
        "import pyramid\n\
         def app(environ, start_response):\n    \
             start_response('200 OK', [('X-Length', environ.get('CONTENT_LENGTH', 'none'))])\n    \
             yield environ['HTTP_TRANSFER_ENCODING'].encode()\n    \
             yield from environ['wsgi.input']\n    \
             yield repr(environ['wasmserve.trailers']()).encode()\n",
    );
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n");
    let head = client.head().expect("the response begins before the request has ended");
    assert_eq!(head.field("x-length"), Some("none"));
    let mut sender = client.sender();
    let mut body = client.body(&head);
    assert_eq!(body.next().as_deref(), Some(&b"chunked"[..]));
    assert_eq!(body.next().as_deref(), Some(&b"one\n"[..]));
    sender.write_all(b"3\r\ntwo\r\n0\r\nX-Sum: 7\r\n\r\n").expect("the server reads");
    assert_eq!(body.next().as_deref(), Some(&b"two"[..]));
    assert_eq!(body.next().as_deref(), Some(&b"[('x-sum', '7')]"[..]));
}

#[test]
fn i6_an_application_can_survive_a_body_that_does_not_arrive() {
    let mut client = shared().connect();
    client.send("POST /survives-a-bad-body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nsome");
    client.end();
    let response = client.response();
    assert_eq!(
        lines(&response),
        ["ConnectionResetError", "the client disconnected before the request body was complete"]
    );
    let malformed = "POST /reads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n";
    let refused = shared().ask(malformed);
    assert_eq!((refused.status, refused.field("wasmserve-fault")), (400, Some("bad-input")));
}

#[test]
fn a_response_is_sent_as_the_application_makes_it() {
    let server = shared();
    for (path, framing, text) in [
        ("/yields", "chunked", "one two"),
        ("/yields-late", "chunked", "late"),
        ("/yields-with-length", "7", "one two"),
        ("/yields-too-much", "5", "one t"),
        ("/writes", "chunked", "one two"),
        ("/returns-a-list", "7", "one two"),
        ("/returns-nothing", "0", ""),
        ("/hello", "14", "Hello, World!\n"),
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.text(), response.end), (200, text, End::Whole), "{path}");
        let framed = response.field("content-length").or(response.field("transfer-encoding"));
        assert_eq!(framed, Some(framing), "{path}");
    }
    let file = server.get("/returns-a-file");
    assert_eq!(file.body, fs::read(wasmserve_tests::guest::program("answers.py")).expect("it is readable"));
    let cookies = server.get("/sets-cookies");
    assert_eq!(cookies.values("set-cookie"), ["a=1", "b=2"]);
    for (path, status) in [("/says-not-modified", 304), ("/says-no-content", 204)] {
        let bodyless = server.get(path);
        assert_eq!((bodyless.status, bodyless.field("content-length"), bodyless.text()), (status, None, ""), "{path}");
    }
}

#[test]
fn b9_a_head_request_gets_the_length_of_a_body_and_no_body() {
    let mut client = shared().connect();
    client.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to_head().field("content-length"), Some("14"));
    client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().text(), "Hello, World!\n");
}

#[test]
fn the_iterable_is_closed_once_however_the_response_ends() {
    let server = Server::start("answers.py");
    for path in ["/yields", "/yields-too-much", "/yields-too-little", "/raises-in-a-list", "/raises-in-the-middle"] {
        server.get(path);
    }
    let mut client = server.connect();
    client.send("GET /yields-for-ever HTTP/1.1\r\nHost: x\r\n\r\n");
    client.head().expect("it begins");
    drop(client);
    for id in 1..=6 {
        server.line(|line| line == format!("[{id}] log: closed"));
    }
    assert_eq!(server.get("/hello").text(), "Hello, World!\n");
    assert_eq!(server.log().iter().filter(|line| line.ends_with("log: closed")).count(), 6);
    assert!(!server.log().iter().any(|line| line.starts_with("[6] 200 exception")), "a client may leave");
}

#[test]
fn s3_a_response_is_replaced_until_its_head_was_sent() {
    let server = Server::start("answers.py");
    let replaced = server.get("/replaces");
    assert_eq!((replaced.status, replaced.field("x-first"), replaced.text()), (503, None, "sorry\n"));
    assert_eq!(server.get("/survives-a-refusal").status, 400);
    let late = server.get("/replaces-too-late");
    assert_eq!((late.status, late.text(), late.end), (200, "some", End::Cut));
    let raised = server.get("/replaces-and-raises");
    assert_eq!((raised.status, raised.field("wasmserve-fault")), (500, Some("exception")));
    server.line_with("[4] 500 exception: ValueError: reported once (GET /replaces-and-raises HTTP/1.1)");
    for id in 1..=4 {
        let is_traceback =
            |line: &str| line.starts_with(&format!("[{id}] ")) && line.contains("Traceback (most recent");
        server.line(is_traceback);
        let log = server.log();
        assert_eq!(log.iter().filter(|line| is_traceback(line)).count(), 1, "exchange {id} in {log:#?}");
    }
}

/// What an application does, the kind of its fault, and parts of the log.
type Misdeed = (&'static str, &'static str, &'static [&'static str]);

/// Everything that ends in a 500.
const MISDEEDS: &[Misdeed] = &[
    (
        "/raises",
        "exception",
        &["ValueError: no luck é (GET", "File \"/app/answers.py\", line", "in raises", "raise ValueError("],
    ),
    ("/raises-in-a-list", "exception", &["ValueError: no first part"]),
    ("/exits", "exception", &["SystemExit: 3", "sys.exit(3)"]),
    ("/is-interrupted", "exception", &["KeyboardInterrupt (GET"]),
    ("/recurses", "exception", &["RecursionError: maximum recursion depth exceeded", "more times]"]),
    ("/recurses-in-two-functions", "exception", &["RecursionError", "lines left out"]),
    ("/recurses-in-c", "stack-overflow", &["the handler's call stack overflowed"]),
    ("/fills-memory", "exception", &["MemoryError", "in fills_memory"]),
    ("/fills-memory-with-small-objects", "exception", &["MemoryError"]),
    ("/asks-for-too-much", "exception", &["MemoryError"]),
    ("/starts-twice", "exception", &["AssertionError: start_response() was called again without exc_info"]),
    ("/does-not-start", "no-start-response", &["without a response"]),
    (
        "/writes-before-starting",
        "exception",
        &["AssertionError: the body was begun before start_response() was called"],
    ),
    ("/returns-none", "exception", &["the application returned NoneType; it must return an iterable of bytes"]),
    ("/returns-text", "exception", &["the application returned str; return a list of bytes: [body.encode()]"]),
    ("/returns-bytes", "exception", &["the application returned bytes; return a list with them: [body]"]),
    ("/returns-a-list-of-text", "exception", &["a chunk of the body must be bytes, not str: 'two'; encode it"]),
    ("/writes-text", "exception", &["the argument of write() must be bytes, not str: 'text'"]),
    ("/is-async", "exception", &["the application is async, so not a WSGI application"]),
    (
        "/status-of-100",
        "exception",
        &["ValueError: bad status '100 Continue': it must be three digits from 200 to 999"],
    ),
    ("/status-without-a-code", "exception", &["bad status 'OK'"]),
    ("/status-of-two-lines", "exception", &["bad status '200 OK\\\\r\\\\nX: y'"]),
    ("/status-as-a-number", "exception", &["TypeError: the status must be str, not int: 200"]),
    ("/status-beyond-latin-1", "exception", &["it has characters beyond Latin-1"]),
    ("/header-of-two-lines", "exception", &["ValueError: bad header: `X-A`: the value has a control character"]),
    (
        "/header-with-a-number",
        "exception",
        &["TypeError: bad header: 'Content-Length': the value must be str, not int: 5"],
    ),
    ("/header-with-bytes", "exception", &["the name must be str, not bytes: b'X-A'"]),
    ("/header-with-a-bad-name", "exception", &["bad header: `X A`: the name is not a token"]),
    ("/header-beyond-latin-1", "exception", &["bad header: 'X-A': the value has characters beyond Latin-1; encode it"]),
    ("/header-that-is-not-unicode", "exception", &["the name has characters beyond Latin-1"]),
    ("/header-of-the-connection", "exception", &["`connection` is a hop-by-hop field, which only the server may set"]),
    ("/headers-in-a-tuple", "exception", &["TypeError: the headers must be a list, not tuple"]),
    ("/headers-that-are-no-pairs", "exception", &["it must be a tuple of a name and a value"]),
    ("/many-headers", "exception", &["bad header: the head is too large: 200 fields"]),
    ("/fills-temporary-files", "exception", &["no memory left for temporary files", "--max-memory"]),
    ("/makes-a-directory", "exception", &["grant one with --dir DIRECTORY::/tmp"]),
    ("/starts-a-thread", "exception", &["can't start new thread: wasmserve's Python has none"]),
    ("/runs-a-function-in-a-thread", "exception", &["can't start new thread: wasmserve's Python has none"]),
    ("/opens-a-socket", "exception", &["--allow-net"]),
    ("/runs-a-program", "exception", &["does not support processes"]),
    ("/knows-no-zone", "exception", &["No time zone found with key Europe/Berlin: name the package tzdata"]),
    ("/imports-ssl", "exception", &["No module named '_ssl'; this part of the standard library is missing"]),
    (
        "/imports-nothing",
        "exception",
        &["No module named 'no_such_module'; to install it, name its package in requirements.txt"],
    ),
];

#[test]
fn x1_an_application_that_fails_before_its_response_is_answered_for() {
    let server = Server::start("answers.py");
    for (at, (path, kind, parts)) in MISDEEDS.iter().enumerate() {
        let failed = server.get(path);
        assert_eq!((failed.status, failed.field("wasmserve-fault")), (500, Some(*kind)), "{path}");
        let id = format!("[{}] ", 2 * at + 1);
        for part in *parts {
            server.line(|line| line.starts_with(&id) && line.contains(part));
        }
        assert_eq!(server.get("/hello").text(), "Hello, World!\n", "the next request after {path}");
        let own = server.log().into_iter().filter(|line| line.starts_with(&id)).collect::<Vec<_>>();
        assert!(own.len() <= 60 && !own.iter().any(|line| line.contains("wasmserve_")), "one screen: {own:#?}");
    }
}

#[test]
fn x3_a_response_that_was_cut_never_looks_complete() {
    let server = Server::start("answers.py");
    for (path, text, reason) in [
        ("/raises-in-the-middle", "some", "200 exception: response cut: ValueError: in the middle"),
        ("/exits-in-the-middle", "some", "200 exception: response cut: SystemExit: 3"),
        ("/yields-too-little", "one ", "200 short-body: response cut: the handler wrote 1 bytes less"),
    ] {
        let cut = server.get(path);
        assert_eq!((cut.status, cut.text(), cut.end), (200, text, End::Cut), "{path}");
        server.line_with(reason);
    }
    let whole = server.get("/raises-on-close");
    assert_eq!((whole.text(), whole.end), ("whole", End::Whole));
    server.line_with("after the response: ValueError: cannot be closed");
    assert_eq!(server.get("/writes-too-much").text(), "some");
    server.line_with("after the response: ValueError: write() went beyond the Content-Length of the response");
}

#[test]
fn memory_that_was_refused_is_an_exception_that_can_be_caught() {
    assert_eq!(lines(&shared().get("/survives-too-much")), ["survived"]);
}

#[test]
fn what_is_printed_is_a_line_of_the_log_for_each_line() {
    let server = Server::start("answers.py");
    assert_eq!(lines(&server.get("/logs")), ["write() argument must be str, not bytes"]);
    for line in [
        "[1] log: a line",
        "[1] log: begun, ended",
        "[1] log: two lines",
        "[1] log: at once",
        "[1] log: flushed",
        "[1] log: unfinished €",
        "[1] stdout: printed",
        "[1] stdout: without an end",
        "[1] stderr: to stderr",
    ] {
        server.line(|logged| logged == line);
    }
}

#[test]
fn temporary_files_are_kept_in_memory_or_in_a_granted_directory() {
    assert_eq!(lines(&shared().get("/keeps-temporary-files")), ["kept and removed"]);
    let place = Place::new();
    let granted = Launch::program("answers.py").flags(["--dir", &format!("{}::/tmp", place.display())]).start();
    assert_eq!(lines(&granted.get("/keeps-temporary-files")), ["kept and removed"]);
    let made = granted.get("/makes-a-directory");
    let name = lines(&made)[0].strip_prefix("/tmp/").expect("it is below the granted directory").to_owned();
    assert!(place.join(name).is_dir());
}

#[test]
fn passwords_are_hashed_as_by_cpython() {
    let response = shared().get("/hashes-passwords");
    let lines = lines(&response);
    // RFC 7914 section 12, RFC 6070, and PBKDF2 with HMAC of SHA-256 of the inputs of RFC 6070.
    let expected = [
        "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a",
        "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957",
        "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
        "TypeError: a bytes-like object is required, not 'str'",
        "ValueError: unsupported hash type",
        "ValueError: iteration value must be greater than 0.",
        "ValueError: n must be a power of 2.",
    ];
    assert_eq!(lines[..7], expected);
    assert!(lines[7].starts_with("ValueError: memory limit exceeded"), "{lines:?}");
}

#[test]
fn others_compute_after_passwords_were_hashed() {
    let server = Server::start("answers.py");
    for _ in 0..3 {
        assert_eq!(server.get("/hashes-passwords").status, 200);
        assert_eq!(server.get("/recurses").status, 500);
    }
}

#[test]
fn the_loop_of_asyncio_runs_without_threads_and_sockets() {
    assert_eq!(lines(&shared().get("/runs-a-loop")), ["[0, 2, 4]"]);
}

#[test]
fn the_time_is_utc_and_the_working_directory_is_the_applications() {
    assert_eq!(lines(&shared().get("/knows-utc")), ["0:00:00", "UTC", "0", "/app"]);
}

#[test]
fn modules_can_be_imported_by_a_request() {
    let place = Place::new();
    let source = fs::read(wasmserve_tests::guest::program("answers.py")).expect("it is readable");
    place.file("this_is_imported_late.py", "TEXT = 'late'\n");
    let server = Launch::file(&place.file("answers.py", source)).start();
    assert_eq!(lines(&server.get("/imports-lazily")), ["late", "colorsys", "True"]);
}

#[test]
fn an_application_is_found_by_its_usual_names_and_by_its_looks() {
    let class = "class App:\n    \
                     def __init__(self, environ, start_response):\n        self.start = start_response\n    \
                     def __iter__(self):\n        self.start('200 OK', [])\n        yield b'hello'\n";
    for source in [
        hello("app"),
        hello("application") + "app = 'not this one'\n",
        hello("simple_app") + "def other(request):\n    pass\n",
        class.to_owned(),
        format!("{class}served = App\n_hidden = App\n"),
        format!("def create_app(name='x'):\n    {}return app\n", hello("app").replace('\n', "\n    ")),
        format!("def make_app():\n    {}return app\n", hello("app").replace('\n', "\n    ")),
        format!("def main(global_config, **settings):\n    {}return app\n", hello("app").replace('\n', "\n    ")),
        hello("application").replace("environ, start_response", "environ, start_response, more=None"),
        hello("_app") + "if __name__ == '__main__':\n    app = _app\n",
        // A script that starts a server of its own.
        format!(
            "from wsgiref.simple_server import make_server\n\
             if __name__ == '__main__':\n    {}make_server('', 8000, _app).serve_forever()\n",
            hello("_app").replace('\n', "\n    ")
        ),
        hello("app") + "from wsgiref.simple_server import make_server\nmake_server('', 8000, app).serve_forever()\n",
    ] {
        let place = Place::new();
        assert_eq!(serve(&place, &source).get("/").text(), "hello", "{source}");
    }
}

#[test]
fn files_of_an_application_may_have_the_names_of_modules_of_the_standard_library() {
    let place = Place::new();
    place.file("queue.py", "special = b'own'\n");
    place.file("json.py", "");
    fs::create_dir(place.join("html")).expect("a place is writable");
    let source = "import html, queue\nassert html.escape\n";
    let server = serve(&place, &(source.to_owned() + &hello("app").replace("b'hello'", "queue.special")));
    assert_eq!(server.get("/").text(), "own");
}

#[test]
fn what_cannot_be_served_is_explained_in_the_words_of_python() {
    let asynchronous = "async def app(scope, receive, send):\n    pass\n";
    let cases: [(&str, &[&str]); 15] = [
        (
            "_x = 1\n",
            &[
                "`app` has no WSGI application: no `application` or `app`, and nothing else that takes (environ, start_response)",
            ],
        ),
        ("def index(request):\n    pass\n\nlimit = 3\n", &["it has `index`, `limit`"]),
        (&(hello("one") + &hello("two")), &["several WSGI applications, `one`, `two`; name one: `wasmserve app:one`"]),
        ("app = 'x'\n", &["`app:app` is of type str, not a WSGI application"]),
        (
            "def app(request):\n    pass\n",
            &["`app:app` takes (request); a WSGI application takes (environ, start_response)"],
        ),
        ("def create_app(config):\n    pass\n", &["`create_app` in `app` needs arguments"]),
        (asynchronous, &["`app:app` is an ASGI application", "wasmserve serves WSGI applications only"]),
        ("def app(:\n", &["app.py\", line 1", "def app(:", "^", "SyntaxError: invalid syntax"]),
        ("import helper\n", &["No module named 'helper'; to install it, name its package in requirements.txt"]),
        ("import ssl\n", &["No module named '_ssl'; this part of the standard library is missing"]),
        (
            "import fast\n",
            &["No module named 'fast'; `", "fast.cpython-311-x86_64-linux-gnu.so` is compiled for another platform"],
        ),
        ("import nested\n", &["nested.py\", line 1", "1 / 0", "ZeroDivisionError: division by zero"]),
        ("import sys\nsys.exit(2)\n", &["SystemExit: 2"]),
        ("def f():\n    f()\nf()\n", &["RecursionError: maximum recursion depth exceeded", "more times]"]),
        ("all = []\nwhile True:\n    all.append(bytearray(1 << 20))\n", &["MemoryError"]),
    ];
    for (source, parts) in cases {
        let place = Place::new();
        place.file("nested.py", "1 / 0\n");
        place.file("fast.cpython-311-x86_64-linux-gnu.so", "");
        let ended = Launch::file(&place.file("app.py", source)).run();
        assert_eq!(ended.code, Some(4), "{source}: {}", ended.stderr);
        for part in parts {
            assert!(ended.stderr.contains(part), "`{part}` is not in: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("wasmserve_") && ended.stderr.lines().count() <= 60, "{}", ended.stderr);
    }
}

#[test]
fn the_response_is_streamed_while_the_application_makes_it() {
    let mut client = shared().connect();
    client.send("GET /yields-for-ever HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head().expect("it begins");
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    let mut some = [0; 1000];
    client.sender().read_exact(&mut some).expect("it goes on");
}

#[test]
fn a_handler_that_ends_in_a_transaction_leaves_its_database_unlocked_and_unchanged() {
    let place = Place::new();
    let source = r#"
import os, sqlite3, time

def app(environ, start_response):
    connection = sqlite3.connect("/data/app.db", isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS number (value)")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO number VALUES (1)")
    path = environ["PATH_INFO"]
    if path == "/abort":
        os.mkdir("/data/other.lock")
        os.abort()
    if path == "/wait":
        time.sleep(20)
    connection.execute("COMMIT")
    rows = connection.execute("SELECT count(*) FROM number").fetchone()[0]
    start_response("200 OK", [])
    return [f"{rows} {sorted(os.listdir('/data'))}".encode()]
"#;
    let data = place.join("data");
    fs::create_dir(&data).expect("the directory is writable");
    let file = place.file("app.py", source);
    let server = Launch::file(&file).flags(["--dir", &format!("{}::/data", data.display())]).start();
    assert_eq!(server.get("/").text(), "1 ['app.db']");
    assert_eq!(server.get("/abort").status, 500);
    // Another directory with such a name is the handler's own.
    assert_eq!(server.get("/").text(), "2 ['app.db', 'other.lock']");
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    while !data.join("app.db.lock").exists() {
        std::thread::yield_now();
    }
    drop(client);
    server.line_with("GET /wait HTTP/1.1\" 499");
    assert_eq!(server.get("/").text(), "3 ['app.db', 'other.lock']");
}
