//! `wasmserve dump` prints all bytes that arrive.

use std::time::Duration;

use rustix::process::Signal;
use wasmserve_tests::{
    client::Client,
    dumped::bytes,
    place::Place,
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

const HEAD: &str = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n";

#[test]
fn reply_permits_the_body_wherever_the_head_is_split() {
    let server = dump(&["--reply"]);
    let splits = [1, HEAD.len() / 2, HEAD.find("100").expect("it is there") + 2, HEAD.len() - 2, HEAD.len() - 1];
    for (number, split) in splits.into_iter().enumerate() {
        let mut client = server.connect();
        client.send(&HEAD[..split]);
        // The first part has arrived when a later connection was accepted.
        drop(server.connect());
        server.line_with(&format!("[{}] connected", 2 * number + 2));
        client.send(&HEAD[split..]);
        assert_eq!(client.response().status, 100, "split at {split}");
        client.send("abc");
        client.send("=def");
        assert_eq!(client.response().status, 200, "split at {split}");
        assert_eq!(client.rest().0, b"", "split at {split}");
    }
    let mut client = server.connect();
    HEAD.bytes().for_each(|byte| client.send([byte]));
    assert_eq!(client.response().status, 100, "byte by byte");
    client.send("abc=def");
    assert_eq!(client.response().status, 200);
}

#[test]
fn reply_permits_nothing_for_text_that_only_looks_like_a_head() {
    let server = dump(&["--reply"]);
    let text = "\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n";
    for sent in [
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n",
            text.len()
        ),
        HEAD.replace("HTTP/1.1", "HTTP/1.0"),
        format!("not HTTP{text}"),
        // The first of two requests is answered before the second is permitted anything.
        format!("GET / HTTP/1.1\r\nHost: x\r\n\r\n{HEAD}"),
    ] {
        let mut client = server.connect();
        client.send(&sent);
        client.end();
        assert_eq!(client.response().status, 200, "{sent:?}");
    }
    // Odd heads are no reason to let a client wait.
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\nA : b\n folded\nEXPECT: , 100-Continue\nContent-Length: 7, 7\n\n");
    assert_eq!(client.response().status, 100);
}

#[test]
fn without_reply_the_user_learns_once_that_clients_wait() {
    let server = dump(&[]);
    let mut silent = server.connect();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n");
    let hint = "note: dump does not answer, so clients wait; add --reply to answer them";
    server.line_with(hint);
    client.end();
    server.line_with("[2] closed by the client");
    silent.send("GET / HTTP/1.1\r\n");
    silent.end();
    server.line_with("[1] closed by the client");
    let ended = stop(server);
    assert_eq!(ended.stderr.matches(hint).count(), 1, "{}", ended.stderr);
    let server = dump(&["--reply", "--once"]);
    server.connect().send("GET / HTTP/1.1\r\n\r\n");
    assert!(!server.end().stderr.contains("note:"));
}

#[test]
fn the_answer_has_the_status_the_fields_and_the_body_of_the_flags() {
    let place = Place::new();
    let (body, raw) = (place.join("answer.json"), place.join("raw"));
    std::fs::write(&body, "{\"a\": 1}").expect("the directory is writable");
    std::fs::write(&raw, "HTTP/1.1 299 Odd\r\nX: 1\r\n\r\nraw").expect("the directory is writable");
    let (body, raw) = (body.to_str().expect("UTF-8"), raw.to_str().expect("UTF-8"));
    let answer = |flags: &[&str], method: &str| {
        let server = dump(flags);
        let mut client = server.connect();
        client.send(format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"));
        String::from_utf8(client.rest().0).expect("UTF-8")
    };
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(answer(&["--reply"], "GET"), ok);
    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nretry-after: 5\r\nx: a:b\r\nConnection: close\r\n\r\n";
    assert_eq!(answer(&["--reply", "503", "--header", "Retry-After: 5", "--header", "X:a:b"], "GET"), busy);
    assert_eq!(answer(&["--reply", "204"], "GET"), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\nConnection: close\r\n\r\n";
    assert_eq!(answer(&["--reply-file", body], "POST"), format!("{json}{{\"a\": 1}}"));
    assert_eq!(answer(&["--reply-file", body], "HEAD"), json, "the answer to HEAD has no body");
    assert_eq!(answer(&["--reply-file", raw], "GET"), "HTTP/1.1 299 Odd\r\nX: 1\r\n\r\nraw");

    for (flags, parts) in [
        (&["--reply", "100"][..], &["--reply cannot be `100`", "from 200 to 599"][..]),
        (&["--reply", "OK"], &["--reply cannot be `OK`"]),
        (&["--header", "X: a\r\nY: b"], &["--header", "control character"]),
        (&["--header", "Content-Length: 5"], &["--header", "dump sets it itself"]),
        (&["--header", "nothing"], &["--header", "NAME: VALUE"]),
        (&["--reply-file", "nowhere"], &["--reply-file `nowhere` cannot be read"]),
        (&["--reply-file", raw, "--reply", "201"], &["is sent as it is"]),
        (&["--reply-file", body, "--reply", "204"], &["has no body"]),
        (&["--hex", "--pretty"], &["--hex", "--pretty"]),
    ] {
        refuses(Launch::bare().flags(["dump", "--addr", "127.0.0.1:0"]).flags(flags), 2, parts);
    }
}

#[test]
fn dump_has_the_lifecycle_of_every_server() {
    // Connections count as requests, and the next one is not accepted.
    let server = dump(&["--requests", "2", "--reply"]);
    for _ in 0..2 {
        assert_eq!(server.ask("GET / HTTP/1.1\r\n\r\n").status, 200);
    }
    assert_eq!(server.end().code, Some(0));
    // A signal does not wait for clients that wait for an answer.
    let server = dump(&["--requests", "2"]);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n\r\n");
    server.line_with("[1] connected");
    server.signal(Signal::INT);
    assert_eq!(server.end().code, Some(13), "not all connections came");
    assert_eq!(dump(&["--idle-exit", "100ms"]).end().code, Some(0));
    let ended = dump(&["--ttl", "100ms"]).end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("stopping: the time of --ttl is over"), "{}", ended.stderr);

    let place = Place::new();
    let file = place.join("port");
    let server = dump(&["--port-file", file.to_str().expect("UTF-8")]);
    assert_eq!(std::fs::read_to_string(&file).expect("it is written"), format!("{}\n", server.addr().port()));
    stop(server);
    assert!(!file.exists());
    let ended = dump(&["--exec", "echo at $WASMSERVE_URL; exit 7"]).end();
    assert_eq!(ended.code, Some(7));
    assert!(ended.stdout.starts_with("at http://127.0.0.1:"), "{}", ended.stdout);
}

#[test]
fn clients_of_other_protocols_are_named() {
    let server = dump(&[]);
    for (number, (sent, name)) in [
        (&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..], "this client speaks TLS; use http:// instead of https://"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "this client speaks SSH"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n", "this proxy sends the PROXY protocol"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "this proxy sends the PROXY protocol"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "this client speaks HTTP/2"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = server.connect();
        sent.iter().for_each(|byte| client.send([*byte]));
        server.line_with(&format!("[{}] {name}", number + 1));
        drop(client);
    }
    stop(server);
    // The server names them too, and answers in HTTP, which the libraries for TLS report at once.
    let server = Server::start("hello");
    for (number, (sent, name)) in [
        (&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..], "this client speaks TLS; use http:// instead of https://"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "this proxy sends the PROXY protocol"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "this client speaks SSH"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(server.ask(sent).status, 400);
        server.line_with(&format!("[{}] 400 refused: {name}", number + 1));
    }
}

#[test]
fn pretty_lays_requests_out() {
    let server = dump(&["--pretty", "--reply", "--once"]);
    let mut client = server.connect();
    client.send("POST /hook HTTP/1.1\r\nHost: x\r\nX: \x1b[2J\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("7\r\n{\"b\":1,\r\n6\r\n\"a\":2}\r\n0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    drop(client);
    let expected = "[1] POST /hook HTTP/1.1\n[1]   Host               x\n[1]   X                  \\x1b[2J\n\
                    [1]   Transfer-Encoding  chunked\n[1]\n[1]   {\n[1]     \"b\": 1,\n[1]     \"a\": 2\n[1]   }\n[1]\n";
    assert_eq!(server.end().stdout, expected);
}
