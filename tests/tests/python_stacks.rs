//! The stacks of Python applications: files, lines and functions of Python, in the log and in answers.

use rustix::process::Signal;
use wasmserve_tests::{
    client::End,
    place::Place,
    server::{Launch, Server},
};

/// The comments mark the lines that stacks must show.
const APP: &str = r#"import json
import os
import sys
import time


def spins(environ):
    def inner():
        while True: pass  # inner

    inner()  # spins


def sleeps(environ):
    time.sleep(  # sleeps
        100
    )


def reads(environ):
    environ["wsgi.input"].read()  # reads


class Page:
    def __call__(self, environ):
        sum(number for number in iter(int, 1) if number)  # sums


def calls(function):
    return function()  # calls


def in_library(environ):
    json.loads("1", object_hook=None, parse_int=lambda text: spins(environ))  # parses


def deep(environ):
    def recurse(depth):
        if depth:
            recurse(depth - 1)  # recurses
        while True: pass  # bottom

    recurse(500)  # deep


def endless(environ):
    endless(environ)


def nested():
    value = []
    for _ in range(500_000):
        value = [value]
    return value


def dumps(environ):
    json.dumps(nested())  # dumps


def attributes(environ):
    class Thing:
        def __getattr__(self, name):
            return getattr(self, name + "x")  # gets

    Thing().x  # asks


def compiles(environ):
    compile("(" * 100_000 + ")" * 100_000, "deep.py", "eval")


def hoards(environ):
    kept = []
    while True:
        kept.append(bytearray(1 << 20))


def hoards_small(environ):
    kept = []
    while True:
        kept.append([])


def survives(environ):
    kept = []
    while True:
        try:
            kept.append(bytearray(1 << 20))
        except MemoryError:
            pass


def fails_inside(environ):
    sys.setrecursionlimit(10**9)
    fails_inside(environ)  # fails


def aborts(environ):
    os.abort()  # aborts


def exits(environ):
    sys.exit(3)


def streams():
    yield b"first"
    while True: pass  # streams


def floods():
    while True:
        yield b"x" * 100_000


PAGES = {
    "/spins": spins, "/sleeps": sleeps, "/reads": reads, "/page": Page(), "/in-library": in_library, "/deep": deep,
    "/endless": endless, "/dumps": dumps, "/attributes": attributes, "/compiles": compiles, "/hoards": hoards,
    "/hoards-small": hoards_small, "/survives": survives, "/fails-inside": fails_inside, "/aborts": aborts, "/exits": exits,
    "/lambda": lambda environ: calls(lambda: spins(environ)),  # lambda
}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path in PAGES:
        PAGES[path](environ)  # app
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/streams":
        return streams()
    if path == "/floods":
        return floods()
    return [b"fine"]
"#;

/// The frame of a function at the line with this comment.
fn at(function: &str, mark: &str) -> String {
    let is_it = |line: &str| line.ends_with(&format!("# {mark}"));
    let line = APP.lines().position(is_it).expect("a line has the mark") + 1;
    format!("at {function} (app.py:{line})")
}

/// A server of the application, and the directory that contains it.
struct Application {
    server: Server,
    _place: Place,
}

impl Application {
    fn start(flags: &[&str]) -> Self {
        let place = Place::new();
        let server = Launch::file(&place.file("app.py", APP)).flags(flags).start();
        Self { server, _place: place }
    }

    /// Checks that the answer to a request without its body is this status and fault with a stack of these frames, and
    /// that the next request is answered as ever.
    fn fails(&self, request: &str, fault: (u16, &str), frames: &[String]) {
        let answer = self.server.ask(format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"));
        assert_eq!((answer.status, answer.field("wasmserve-fault")), (fault.0, Some(fault.1)), "{}", answer.text());
        let lines = answer.text().lines().filter_map(|line| line.strip_prefix("  "));
        let expected = [frames, &[at("app", "app")]].concat();
        assert_eq!(lines.collect::<Vec<_>>(), expected, "{request}");
        assert_eq!(self.server.get("/").text(), "fine", "after {request}");
    }

    /// Checks that the answer to a request is a 500 because of this exception, and that the next one is answered as ever.
    fn raises(&self, target: &str, exception: &str) {
        let answer = self.server.get(target);
        assert_eq!((answer.status, answer.field("wasmserve-fault")), (500, Some("exception")), "{}", answer.text());
        assert!(answer.text().contains(exception), "{}", answer.text());
        assert_eq!(self.server.get("/").text(), "fine", "after {target}");
    }
}

fn library(frames: usize) -> String {
    format!("({frames} library frames)")
}

#[test]
fn f19_python_code_that_takes_too_long_is_shown_with_its_lines() {
    let app = Application::start(&["--debug", "--timeout", "500ms"]);
    let late = (504, "wall-limit");
    let spins = [at("inner", "inner"), at("spins", "spins")];
    let within = |frames: &[String]| [&spins[..], frames].concat();
    app.fails("GET /spins", late, &spins);
    app.fails("GET /sleeps", late, &[at("sleeps", "sleeps")]);
    app.fails("POST /reads", late, &[at("reads", "reads")]);
    app.fails("GET /page", late, &[at("<genexpr>", "sums"), at("Page.__call__", "sums")]);
    let lambda = at("<lambda>", "lambda");
    app.fails("GET /lambda", late, &within(&[lambda.clone(), at("calls", "calls"), lambda]));
    let parses = [at("<lambda>", "parses"), library(3), at("in_library", "parses")];
    app.fails("GET /in-library", late, &within(&parses));
    let recursion = at("recurse", "recurses") + ", 500 times";
    app.fails("GET /deep", late, &[at("recurse", "bottom"), recursion, at("deep", "deep")]);
}

#[test]
fn f1_python_code_that_computes_too_long_is_shown_with_its_lines() {
    let app = Application::start(&["--debug", "--cpu-time", "300ms"]);
    app.fails("GET /spins", (504, "cpu-limit"), &[at("inner", "inner"), at("spins", "spins")]);
}

#[test]
fn f6_recursion_is_a_500_in_python_and_in_the_interpreter() {
    let app = Application::start(&["--debug"]);
    let overflow = (500, "stack-overflow");
    app.raises("/endless", "RecursionError: maximum recursion depth exceeded");
    app.raises("/compiles", "MemoryError: ");
    app.fails("GET /dumps", overflow, &[library(3), at("dumps", "dumps")]);
    let answer = app.server.get("/attributes");
    assert_eq!(answer.field("wasmserve-fault"), Some("stack-overflow"));
    for part in [at("Thing.__getattr__", "gets") + ", ", at("attributes", "asks"), at("app", "app")] {
        assert!(answer.text().contains(&part), "{part}: {}", answer.text());
    }
    assert_eq!(app.server.get("/").text(), "fine");
}

#[test]
fn f3_python_code_that_needs_too_much_memory_gets_a_memory_error() {
    let app = Application::start(&["--debug", "--cpu-time", "1s", "--max-memory", "64MiB"]);
    app.raises("/hoards", "MemoryError");
    app.raises("/hoards-small", "MemoryError");
    assert_eq!(app.server.get("/survives").field("wasmserve-fault"), Some("cpu-limit"));
    // The interpreter itself cannot go on if it has no memory for a frame.
    let answer = app.server.get("/fails-inside");
    assert_eq!((answer.status, answer.field("wasmserve-fault")), (500, Some("memory-limit")));
    assert!(answer.text().contains(&at("fails_inside", "fails")), "{}", answer.text());
    assert_eq!(app.server.get("/").text(), "fine");
}

#[test]
fn f8_python_code_that_aborts_is_shown_with_its_lines_and_an_exit_is_an_exception() {
    let app = Application::start(&["--debug"]);
    app.fails("GET /aborts", (500, "trap"), &[at("aborts", "aborts")]);
    app.raises("/exits", "SystemExit: 3");
}

#[test]
fn x3_a_response_of_python_code_that_takes_too_long_is_cut_and_logged_with_its_lines() {
    let app = Application::start(&["--timeout", "500ms"]);
    let answer = app.server.get("/streams");
    assert_eq!((answer.status, answer.text(), answer.end), (200, "first", End::Cut));
    app.server.line_with("200 wall-limit: response cut: ");
    app.server.line_with(&format!("]   {}", at("streams", "streams")));
    assert_eq!(app.server.get("/").text(), "fine");
}

#[test]
fn p2_p3_a_report_of_what_is_running_shows_python_lines() {
    let app = Application::start(&[]);
    let clients = ["GET /spins", "GET /sleeps", "POST /reads", "GET /floods"].map(|request| {
        let mut client = app.server.connect();
        client.send(format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"));
        client
    });
    let each = [
        ("GET /spins ", "computing", vec![at("inner", "inner"), at("spins", "spins"), at("app", "app")]),
        ("GET /sleeps ", "waiting in `wasi:io/poll.block` ", vec![at("sleeps", "sleeps"), at("app", "app")]),
        ("POST /reads ", "waiting in `wasmserve:gateway/input.read` ", vec![at("reads", "reads"), at("app", "app")]),
        // The application has returned a generator, and is not running while its output waits for the client.
        ("GET /floods ", "waiting in `wasmserve:gateway/response.write` ", vec![]),
    ];
    let is_listed = |log: &[String], (request, does, frames): &(&str, &str, Vec<String>)| {
        (0..log.len()).filter(|at| log[*at].contains(request) && log[*at].contains(does)).any(|at| {
            let id = log[at].split_once(' ').expect("the line begins with an id").0.to_owned() + "   ";
            let stack: Vec<_> = log[at + 1..].iter().map_while(|line| line.strip_prefix(&id)).collect();
            stack == *frames
        })
    };
    app.server.ask_by(Signal::QUIT, |log| each.iter().all(|expected| is_listed(log, expected)));
    assert_eq!(app.server.get("/").text(), "fine");
    let before = app.server.log().len();
    app.server.signal(Signal::INT);
    // By now, the output may flow on for a moment.
    let all = |log: &[String]| each[..3].iter().all(|expected| is_listed(&log[before..], expected));
    assert!(all(&app.server.log_with(all)));
    drop(clients);
}
