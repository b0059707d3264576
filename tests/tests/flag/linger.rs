//! `--linger`, and restarts on a port with old connections.

use std::fs;

use wasmserve_tests::{
    client::{Client, Close, End},
    guest,
    server::{Launch, Server},
};

use super::start;

/// How many connections of this port are in `TIME_WAIT`.
fn time_waits(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp is readable");
    let local = format!("0100007F:{port:04X}");
    let states = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[1] == local).then_some(fields[3] == "06")
    });
    states.filter(|is_waiting| *is_waiting).count()
}

/// Makes the server close a connection, and returns how the client sees it.
fn closed(server: &Server) -> Close {
    let mut client: Client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let response = client.response();
    assert_eq!((response.text(), response.end), ("Hello, World!\n", End::Whole));
    let (rest, close) = client.rest();
    assert_eq!(rest, b"");
    close
}

#[test]
fn linger_0s_resets_connections_and_leaves_nothing_waiting() {
    let server = start("hello", &["--linger", "0s"]);
    for _ in 0..10 {
        assert_eq!(closed(&server), Close::Reset, "after the data");
    }
    assert_eq!(time_waits(server.addr().port()), 0);
    assert_eq!(server.get("/").status, 200);
    server.stop();

    let server = start("hello", &["--linger", "1s"]);
    assert_eq!(closed(&server), Close::Orderly);
    server.stop();
}

#[test]
fn a_restarted_server_listens_at_once() {
    for flags in [&[][..], &["--linger", "0s"]] {
        let server = start("hello", flags);
        let addr = server.addr();
        for _ in 0..10 {
            closed(&server);
        }
        let waiting = time_waits(addr.port());
        assert!(waiting > 0 || !flags.is_empty(), "no connection is in TIME_WAIT");
        // Kill the server.
        drop(server);
        let again = Launch::bare().flags([guest::program("hello")]).flags(["--addr", &addr.to_string()]).flags(flags);
        let server = again.start();
        assert_eq!(server.addr(), addr);
        assert_eq!(server.get("/").status, 200);
    }
}
