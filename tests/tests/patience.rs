//! Timeouts that take long: the defaults, and those that no flag can shorten. `tests/limit.rs` tests the others.

use std::time::Instant;

use wasmserve_tests::{
    client::Close,
    http2::{Http2, code},
    server::{Launch, Server},
};

#[test]
fn c1_silent_connections_are_closed() {
    let server = Server::start("hello");
    let whole = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut clients = ["", "G", "GET / HTTP/1.1\r\nHost: x\r\n", whole].map(|begun| {
        let mut client = server.connect();
        client.send(begun);
        client
    });
    assert_eq!(clients[3].response().status, 200);
    for client in &mut clients {
        assert_eq!(client.rest().1, Close::Orderly);
    }
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn c2_a_body_that_arrives_too_slowly_times_out() {
    // The rate is so high that even the first pause is too long. It is measured over five seconds.
    let server = Launch::program("reads_input").flags(["--min-rate", "1000000"]).start();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nhello");
    let refused = client.response();
    assert_eq!((refused.status, refused.field("connection")), (408, Some("close")));
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn an_idle_http2_connection_is_pinged_and_eventually_closed() {
    let server = Server::start("hello");
    let (mut silent, mut idle) = (Http2::connect(server.addr()), Http2::connect(server.addr()));
    assert_eq!(idle.get("/").status, 200);
    silent.ignore_pings();
    let began = Instant::now();
    // It would be closed as idle too, but later.
    _ = silent.closed();
    let silent_for = began.elapsed();
    let (goaway, close) = idle.closed();
    assert_eq!((goaway.map(|goaway| goaway.code), close), (Some(code::NO_ERROR), Close::Orderly));
    assert!(silent_for < began.elapsed(), "a client that does not answer pings is closed earlier");
}
