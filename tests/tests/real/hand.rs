//! Requests that are typed by hand, and clients from textbooks.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use wasmserve_tests::{
    TIMEOUT,
    client::{Close, End},
    real::{python, stdout_of},
    server::Server,
};

/// Sends a text byte by byte, as if it was typed, and returns what the server sends until it closes.
fn typed(server: &Server, text: &str) -> String {
    let mut line = TcpStream::connect(server.addr()).expect("the server listens");
    line.set_nodelay(true).expect("the socket accepts the option");
    line.set_read_timeout(Some(TIMEOUT)).expect("a positive timeout");
    for byte in text.bytes() {
        line.write_all(&[byte]).expect("the server accepts it");
        // Let the server read it before the next byte.
        thread::yield_now();
    }
    let mut answer = String::new();
    line.read_to_string(&mut answer).expect("the server answers and closes");
    answer
}

#[test]
fn t13_a_request_may_be_typed_with_either_line_end() {
    let server = Server::start("hello");
    for end in ["\r\n", "\n"] {
        let answer = typed(&server, &["GET / HTTP/1.1", "Host: x", "Connection: close", "", ""].join(end));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nHello, World!\n"), "{answer}");
        let answer = typed(&server, &["GET / HTTP/1.0", "", ""].join(end));
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nHello, World!\n"), "{answer}");
        // With an extra line end.
        let answer = typed(&server, &["", "GET / HTTP/1.0", "", ""].join(end));
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn a_body_may_be_typed() {
    let (echo, input) = (Server::start("echo"), Server::start("reads_input"));
    for end in ["\r\n", "\n"] {
        let head = ["POST / HTTP/1.1", "Host: x", "Connection: close", "Content-Length: 5", "", ""].join(end);
        let answer = typed(&input, &format!("{head}hello"));
        assert!(answer.ends_with("\r\n\r\n5 octets, trailers []\n"), "{answer}");
        let head = ["POST / HTTP/1.0", "Content-Length: 12", "", ""].join(end);
        let answer = typed(&echo, &format!("{head}hello\r\n\r\nyou"));
        assert!(answer.ends_with("\r\n\r\nhello\r\n\r\nyou"), "B11: {answer}");
        // The lines of chunks end in CRLF, whatever the lines of the head end in (RFC 9112 section 7.1).
        let head = ["POST / HTTP/1.1", "Host: x", "Connection: close", "Transfer-Encoding: chunked", "", ""].join(end);
        let answer = typed(&input, &format!("{head}5\r\nhello\r\n6;by=hand\r\n, you!\r\n0\r\n\r\n"));
        assert!(answer.ends_with("\r\n\r\n11 octets, trailers []\n"), "{answer}");
    }
}

#[test]
fn t1_http_0_9_is_not_supported() {
    let server = Server::start("hello");
    for line in ["GET /\r\n\r\n", "GET /\n\n", "GET / \r\n\r\n"] {
        let answer = typed(&server, line);
        assert!(answer.starts_with("HTTP/1.") && answer[9..].starts_with('4'), "{line:?}: {answer}");
    }
}

#[test]
fn typing_mistakes_get_a_400() {
    let server = Server::start("hello");
    for line in ["hello\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\r\nhost x\r\n\r\n", "EHLO me.test\r\n\r\n"] {
        let answer = typed(&server, line);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{line:?}: {answer}");
    }
}

#[test]
fn methods_that_begin_like_the_http2_preface_are_served() {
    // PUT, POST and PATCH begin as the preface does.
    let server = Server::start("echo");
    for method in ["PUT", "POST", "PATCH", "P", "PRI", "PROPFIND"] {
        let answer = typed(&server, &format!("{method} / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi"));
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nhi"), "{method}: {answer}");
    }
}

/// `client3.py` of "Let's Build A Web Server": bare line feeds, many clients at once, and none reads its response.
#[test]
fn clients_that_exit_without_reading_leave_nothing_behind() {
    let server = Server::start("hello");
    assert_eq!(server.get("/").status, 200);
    let descriptors = server.descriptors();
    stdout_of(
        python().args(["-", &server.addr().port().to_string()]),
        r#"
import os, socket, sys
REQUEST = b"GET /hello HTTP/1.1\nHost: localhost:8888\n\n"
clients = []
for number in range(50):
    pid = os.fork()
    if pid == 0:
        for connection in range(2):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.connect(("127.0.0.1", int(sys.argv[1])))
            sock.sendall(REQUEST)
        os._exit(0)
    clients.append(pid)
for pid in clients:
    os.waitpid(pid, 0)
"#,
    );
    for _ in 0..100 {
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\nHost: localhost:8888\nConnection: close\n\n");
        assert_eq!((client.response().end, client.rest().1), (End::Whole, Close::Orderly));
    }
    let left = (0..1000).map(|_| server.get("/")).find(|_| server.descriptors() <= descriptors + 2);
    assert!(left.is_some(), "there were {descriptors} descriptors, and now there are {}", server.descriptors());
    let log = server.stop();
    let of_theirs = log.iter().filter(|line| line.contains("\"GET /hello HTTP/1.1\""));
    let ends = of_theirs.map(|line| line.rsplit(' ').nth(1).expect("a status"));
    let (answered, left): (Vec<_>, Vec<_>) = ends.partition(|status| *status == "200");
    assert_eq!(answered.len() + left.len(), 100, "L5: {log:#?}");
    assert!(left.iter().all(|status| *status == "499"), "{left:?}");
}
