//! Each instance serves one request, so no byte of one request can be read in another.

use wasmserve_tests::server::Shared;

/// The response of a fresh instance of `counts`.
const FIRST: &str = "1 None";

#[test]
fn requests_on_one_connection_do_not_share_memory() {
    let server = Shared::program("counts");
    let mut client = server.connect();
    for number in 0..50 {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!(client.response().text(), FIRST);
    }
}

#[test]
fn pipelined_requests_do_not_share_memory() {
    let server = Shared::program("counts");
    let mut client = server.connect();
    let requests: String = (0..50).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
    client.send(requests);
    for _ in 0..50 {
        assert_eq!(client.response().text(), FIRST);
    }
}

#[test]
fn requests_on_many_connections_do_not_share_memory() {
    let server = Shared::program("counts");
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for round in 0..4 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("GET /{number}/{round} HTTP/1.1\r\nHost: test\r\n\r\n"));
        }
        for client in &mut clients {
            assert_eq!(client.response().text(), FIRST);
        }
    }
}
