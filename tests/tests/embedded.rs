//! The handlers that are embedded in the program, which need neither a file nor a Rust compiler.

use std::{fs, path::Path};

use wasmserve_tests::{
    place::Place,
    server::{Launch, Server, refuses},
};

/// Starts the command with this name on a free port.
fn serve(name: &str, flags: &[&str]) -> Server {
    Launch::bare().flags([name, "--addr", "127.0.0.1:0"]).flags(flags).start()
}

#[test]
fn logs_prints_records() {
    let server = serve("logs", &[]);
    let record = "name=my.logger&msg=Received+%25s&args=%28%27abc%27%2C%29&levelname=ERROR&created=1413734400.25";
    let length = record.len();
    let posted = server.ask(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{record}"));
    assert_eq!(posted.status, 204);
    let line = server.line_with("] log: ");
    assert!(line.ends_with("my.logger      ERROR  Received %s  ('abc',)"), "{line}");
}

#[test]
fn echo_sends_bodies_back() {
    let server = serve("echo", &[]);
    let response = server.ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((response.status, response.text(), response.field("Content-Type")), (200, "abc", Some("text/x")));
}

#[test]
fn embedded_handlers_accept_the_servers_flags() {
    let server = serve("echo", &["--max-body", "2", "--server-header", "mine"]);
    let response = server.ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((response.status, response.field("Server")), (413, Some("mine")));
    refuses(Launch::bare().flags(["logs", "--timeout", "5"]), 2, &["--timeout", "5s"]);
    refuses(Launch::bare().flags(["logs", "another.wasm"]), 2, &["another.wasm"]);
}

#[test]
fn eject_writes_the_source() {
    let place = Place::new();
    for (name, of) in [("logs", "logsink.rs"), ("echo", "echo.rs")] {
        let eject = || Launch::bare().flags([name, "--eject"]).at(&place);
        let ended = eject().run();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
        assert!(
            ended.stdout.contains(&format!("wasmserve {name}.rs\n")),
            "the output names the next step: {}",
            ended.stdout
        );
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(of);
        let [source, written] = [source, place.join(name).with_extension("rs")].map(|path| fs::read(path).ok());
        assert!(written.is_some() && source == written, "{name}");
        refuses(eject(), 1, &[&format!("`{name}.rs`"), "already exists"]);
    }
}
