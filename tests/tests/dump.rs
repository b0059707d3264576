//! `wasmserve dump` prints all bytes that arrive.

use std::time::Duration;

use rustix::process::Signal;
use wasmserve_tests::{
    client::Client,
    server::{Ended, Launch, Server, refuses},
};

fn dump(flags: &[&str]) -> Server {
    Launch::bare().flags(["dump", "--addr", "127.0.0.1:0"]).flags(flags).start()
}

/// Stops the server, and returns its output.
fn stop(server: Server) -> Ended {
    server.signal(Signal::INT);
    let ended = server.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

/// The bytes of one connection, unescaped from the printed lines.
fn bytes(stdout: &str, id: u64) -> Vec<u8> {
    let prefix = format!("[{id}] ");
    let text: String = stdout.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        bytes.push(match char {
            '\\' => match chars.next().expect("an escape has two characters") {
                'r' => b'\r',
                'n' => b'\n',
                't' => b'\t',
                'x' => {
                    let digits: String = chars.by_ref().take(2).collect();
                    u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
                }
                char => u8::try_from(char).expect("ASCII"),
            },
            char => u8::try_from(char).expect("ASCII"),
        });
    }
    bytes
}

#[test]
fn every_byte_is_printed_and_escaped() {
    let server = dump(&["--once"]);
    let sent: Vec<u8> = (0..=255).chain(*b"\r\n[2] not a line of its own \x1b[2J\\n\n").collect();
    let mut client = server.connect();
    for part in sent.chunks(7) {
        client.send(part);
    }
    client.end();
    let ended = server.end();
    assert_eq!(ended.code, Some(0), "--once ends with the first connection");
    assert!(ended.stdout.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{}", ended.stdout);
    assert_eq!(bytes(&ended.stdout, 1), sent);
    assert!(ended.stderr.contains("[1] closed by the client, after 291 bytes\n"), "{}", ended.stderr);
}

#[test]
fn each_line_of_a_request_is_printed_on_its_own_line() {
    let server = dump(&["--once"]);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    client.end();
    let ended = server.end();
    assert_eq!(ended.stdout, "[1] GET / HTTP/1.1\\r\\n\n[1] Host: x\\r\\n\n[1] \\r\\n\n");
    let mut notes = ended.stderr.lines();
    assert!(notes.next().is_some_and(|line| line.starts_with("listening on http://127.0.0.1:")));
    assert!(notes.next().is_some_and(|line| line.starts_with("[1] connected from 127.0.0.1:")));
}

#[test]
fn hex_prints_offsets_bytes_and_text() {
    let server = dump(&["--once", "--hex"]);
    let mut client = server.connect();
    client.send("0123456789abcdefXYZ\r\n");
    client.end();
    let stdout = server.end().stdout;
    assert!(stdout.starts_with("[1] 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n"));
    assert!(stdout.ends_with("|XYZ..|\n"), "{stdout}");
}

#[test]
fn connections_are_labelled_and_a_reset_is_reported() {
    let server = dump(&[]);
    let (mut first, mut second) = (server.connect(), server.connect());
    server.line_with("[2] connected");
    first.send("one");
    second.send("two\nthree");
    first.send(" and one\n");
    first.end();
    server.line_with("[1] closed by the client, after 12 bytes");
    socket2::SockRef::from(&second.sender()).set_linger(Some(Duration::ZERO)).expect("the socket accepts the option");
    drop(second);
    server.line(|line| line.starts_with("[2] broken: ") && line.contains("reset"));
    let stdout = stop(server).stdout;
    assert_eq!(bytes(&stdout, 1), b"one and one\n");
    assert!(b"two\nthree".starts_with(&bytes(&stdout, 2)), "a reset may discard data: {stdout}");
}

#[test]
fn nothing_is_sent_without_reply() {
    let server = dump(&["--once"]);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.end();
    assert_eq!(client.rest().0, b"");
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn reply_answers_a_waiting_client() {
    let server = dump(&["--reply"]);
    // The body that the client holds back arrives too.
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("abc=def");
    assert_eq!(client.response().status, 200);
    drop(client);
    server.line_with("[1] closed by the client");
    // A silent client gets no response. A client that has ended its side need not wait for one.
    let mut silent = server.connect();
    server.line_with("[2] connected");
    let mut done = server.connect();
    done.send("GET");
    done.end();
    assert!(done.rest().0.starts_with(b"HTTP/1.1 200 OK\r\n"));
    silent.send("G");
    assert_eq!(silent.response().status, 200);
    drop(silent);
    server.lines(3, |line| line.contains("closed by the client"));
    let stdout = stop(server).stdout;
    assert!(bytes(&stdout, 1).ends_with(b"\r\n\r\nabc=def"), "{stdout}");
    assert_eq!((bytes(&stdout, 2), bytes(&stdout, 3)), (b"G".to_vec(), b"GET".to_vec()));
}

#[test]
fn many_connections_are_printed_without_loss() {
    let server = dump(&[]);
    let clients: Vec<Client> = (0..300)
        .map(|number| {
            let mut client = server.connect();
            client.send(format!("client {number}\n"));
            client.end();
            client
        })
        .collect();
    server.lines(300, |line| line.ends_with(" bytes") && line.contains("closed by the client"));
    drop(clients);
    let stdout = stop(server).stdout;
    for number in 0..300 {
        assert!(stdout.contains(&format!("] client {number}\\n\n")), "{number}");
    }
}

#[test]
fn dump_prints_everything_before_a_signal_ends_it() {
    for signal in [Signal::HUP, Signal::TERM, Signal::INT] {
        let server = dump(&[]);
        let mut client = server.connect();
        client.send("one\n");
        client.end();
        server.line_with("[1] closed by the client");
        server.signal(signal);
        let ended = server.end();
        assert_eq!((ended.code, &*ended.stdout), (Some(0), "[1] one\\n\n"), "{signal:?}");
    }
    let server = Launch::bare().flags(["dump", "--addr", "127.0.0.1:0"]).ignoring("HUP").start();
    server.signal(Signal::HUP);
    server.connect().send("still here");
    server.line_with("[1] closed by the client");
    stop(server);
}

#[test]
fn dump_ends_when_its_stdout_is_closed() {
    let server = dump(&[]).unheard();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn an_address_in_use_is_reported() {
    let server = dump(&[]);
    let taken = Launch::bare().flags(["dump", "--addr", &server.addr().to_string()]);
    refuses(taken, 3, &["another process listens there", "--addr"]);
    refuses(Launch::bare().flags(["dump", "hello.wasm"]), 2, &["hello.wasm"]);
}
