//! The handlers that are in the program: they need no file, and no compiler of Rust.

use std::{fs, path::Path};

use wasmserve_tests::{
    place::Place,
    real::{system, told},
    server::{Launch, Server},
};

use crate::start::refuses;

/// The command of that name on a free port, with more flags.
fn serve(name: &str, flags: &[&str]) -> Server {
    Launch::bare().flags([name, "--addr", "127.0.0.1:0"]).flags(flags).start()
}

#[test]
fn logs_prints_the_records_of_pythons_http_handler() {
    let server = serve("logs", &[]);
    let program = r#"
import logging.handlers, sys
logger = logging.getLogger("my.logger")
logger.addHandler(logging.handlers.HTTPHandler(sys.argv[1], "/", method="POST"))
logger.error("Received arguments: [%s] [%s]", "abc", "def")
"#;
    told(system("python3").args(["-c", program, &server.addr().to_string()]), "");
    let line = server.line_with("] log: ");
    assert!(line.ends_with("my.logger      ERROR  Received arguments: [%s] [%s]  ('abc', 'def')"), "{line}");
}

#[test]
fn echo_sends_bodies_back() {
    let server = serve("echo", &[]);
    let response = server.ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((response.status, response.text(), response.field("Content-Type")), (200, "abc", Some("text/x")));
}

#[test]
fn they_take_the_flags_of_all_that_serves() {
    let server = serve("echo", &["--max-body", "2", "--server-header", "mine"]);
    let response = server.ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((response.status, response.field("Server")), (413, Some("mine")));
    refuses(Launch::bare().flags(["logs", "--timeout", "5"]), 2, &["--timeout", "30s"]);
    refuses(Launch::bare().flags(["logs", "another.wasm"]), 2, &["another.wasm"]);
}

#[test]
fn their_sources_can_be_had_and_changed() {
    let place = Place::new();
    for (name, of) in [("logs", "logsink.rs"), ("echo", "echo.rs")] {
        let eject = || Launch::bare().flags([name, "--eject"]).at(&place);
        let ended = eject().run();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
        assert!(ended.stdout.contains(&format!("wasmserve {name}.rs\n")), "it says what to do next: {}", ended.stdout);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(of);
        let [source, written] = [source, place.join(name).with_extension("rs")].map(|path| fs::read(path).ok());
        assert!(written.is_some() && source == written, "{name}");
        refuses(eject(), 1, &[&format!("`{name}.rs`"), "is there already"]);
    }
}
