//! The server at its limits of connections and file descriptors.

use std::{
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use wasmserve_tests::{
    TIMEOUT,
    client::Client,
    server::{Launch, Server},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// A server that does not close idle connections.
fn launch() -> Launch {
    Launch::program("hello").flags(["--keep-alive", "1h", "--head-timeout", "1h"])
}

/// An idle keep-alive connection.
fn idle(server: &Server) -> Client {
    let mut client = server.connect();
    client.send(GET);
    assert_eq!(client.response().status, 200);
    client
}

/// Checks that this many connections are served at the same time, and that the next one waits only until one of them
/// ends.
fn accepts_at_most(server: &Server, connections: usize) {
    let mut clients: Vec<Client> = (0..connections).map(|_| idle(server)).collect();
    let mut late = server.connect();
    late.send("GET /late HTTP/1.1\r\nHost: test\r\n\r\n");
    clients[0].send("GET /kept HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(clients[0].response().status, 200, "open connections are served");
    drop(clients.pop());
    assert_eq!(late.response().status, 200);
    server.line_with("/late");
    let log = server.log();
    let at = |part| log.iter().position(|line| line.contains(part)).expect("the request is in the log");
    assert!(at("/kept") < at("/late"), "the late connection did not wait: {log:#?}");
}

#[test]
fn c12_accepting_pauses_at_max_connections() {
    let server = launch().flags(["--max-connections", "2"]).start();
    accepts_at_most(&server, 2);
    server.stop();
}

#[test]
fn c12_the_descriptor_limit_bounds_the_connections() {
    for (soft, hard, connections) in [(64, 64, 16), (64, 128, 32)] {
        let server = launch().descriptors(soft, hard).start();
        accepts_at_most(&server, connections);
        server.stop();
    }
}

#[test]
fn c12_the_descriptor_table_has_room_before_connections_arrive() {
    let server = launch().descriptors(64, 1000).flags(["--max-connections", "500"]).start();
    assert!(server.descriptor_room() >= 500, "the descriptor table has room for {}", server.descriptor_room());
    server.stop();
}

#[test]
fn p4_without_free_descriptors_clients_are_turned_away() {
    let server = launch().start();
    drop(idle(&server));
    let begun = Instant::now();
    server.limit_descriptors(server.descriptors() + 6);
    let mut kept = fill(&server);
    server.line(|line| line.starts_with("wasmserve: clients turned away: ") && line.contains("`ulimit -n`"));
    for _ in 0..6 {
        assert!(!is_served(&mut server.connect()), "no client is left waiting");
    }
    for client in &mut kept {
        client.send(GET);
        assert_eq!(client.response().status, 200, "open connections are served");
    }
    let notices = server.log().iter().filter(|line| line.contains("turned away")).count() as u64;
    assert!(notices <= begun.elapsed().as_secs() + 1, "at most one notice a second, but there are {notices}");

    // The server recovers when connections end, or when it may open more descriptors.
    kept.truncate(1);
    wait_until_served(&server);
    let _more = fill(&server);
    server.limit_descriptors(1000);
    wait_until_served(&server);
    server.stop();
}

/// Opens connections until one is turned away, and returns the others.
fn fill(server: &Server) -> Vec<Client> {
    let clients = std::iter::repeat_with(|| server.connect());
    let clients: Vec<Client> =
        clients.take(100).map_while(|mut client| is_served(&mut client).then_some(client)).collect();
    assert!((1..100).contains(&clients.len()), "{} are served", clients.len());
    clients
}

/// Whether the server answers a client, rather than closing its connection.
fn is_served(client: &mut Client) -> bool {
    if client.try_send(GET).is_err() {
        return false;
    }
    client.head().is_some_and(|head| {
        let body: Vec<u8> = client.body(&head).flatten().collect();
        head.status == 200 && !body.is_empty()
    })
}

fn wait_until_served(server: &Server) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_served(&mut server.connect()) {
        assert!(Instant::now() < deadline, "the server does not recover");
    }
}

#[test]
fn p4_without_descriptors_the_metrics_address_does_not_spin() {
    let server = Launch::program("drips").flags(["--keep-alive", "1h", "--stats", "127.0.0.1:0"]).start();
    let line = server.line(|line| line.starts_with("statistics on http://"));
    let metrics: SocketAddr =
        line["statistics on http://".len()..].trim_end_matches("/metrics").parse().expect("an address");
    let mut kept = server.connect();
    kept.send("GET /?n=1&ms=1 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(kept.response().status, 200);
    server.limit_descriptors(server.descriptors());
    // It stays in the system's queue, because accepting it fails.
    let _reader = TcpStream::connect(metrics).expect("the listener accepts connections");
    let (computed, begun) = (server.computed(), Instant::now());
    // A request that takes a second, in which the server has nothing else to do.
    kept.send("GET /?n=2&ms=500 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(kept.response().text(), "line 1 of 2\nline 2 of 2\n");
    let computed = server.computed() - computed;
    assert!(computed < begun.elapsed() / 4, "it computed for {computed:?}");
    server.limit_descriptors(1000);
    server.stop();
}
