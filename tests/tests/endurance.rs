//! Ten thousand requests leave nothing behind: a third are answered, a third trap, and a third lose their clients.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use wasmserve::{Event, Listener};
use wasmserve_tests::{
    TIMEOUT,
    client::{Client, End},
    local::{self, Local, apart},
    server::{Launch, Server},
};

const REQUESTS: u64 = 10_000;

/// Sends one of the requests.
fn ask(addr: SocketAddr, number: u64) {
    let mut client = Client::connect(addr);
    match number % 6 {
        0 | 3 => {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            let response = client.response();
            assert_eq!((response.status, response.text(), response.end), (200, "well", End::Whole));
        }
        1 | 4 => {
            client.send("GET /traps HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(client.response().status, 500);
        }
        // Disconnects in the middle of the response.
        2 => {
            client.send("GET /streams HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(client.head().expect("a response head").status, 200);
        }
        // Disconnects in the middle of the request.
        _ => client.send("POST /waits HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello"),
    }
}

/// Sends requests from two threads.
fn ask_all(addr: SocketAddr, numbers: std::ops::Range<u64>) {
    let next = AtomicU64::new(numbers.start);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        break;
                    }
                    ask(addr, number);
                }
            });
        }
    });
}

#[test]
fn ten_thousand_requests_leave_no_descriptors_and_no_memory_behind() {
    const FLAT: u64 = 16 << 20;
    let server = Server::start("misbehaves");
    drop(server.get("/"));
    let descriptors = server.descriptors();
    ask_all(server.addr(), 0..REQUESTS / 2);
    let first = server.resident();
    ask_all(server.addr(), REQUESTS / 2..REQUESTS);
    let second = server.resident();
    assert!(second.saturating_sub(first) <= FLAT, "memory kept growing, from {first} to {second} bytes");

    // The last connections close a moment after their clients have received everything.
    let left = (0..1000).map(|_| server.get("/")).find(|_| server.descriptors() <= descriptors + 2);
    assert!(left.is_some(), "there were {descriptors} descriptors, and now there are {}", server.descriptors());

    let log = server.stop();
    let bugs: Vec<_> = log.iter().filter(|line| line.contains("host-bug")).collect();
    assert!(bugs.is_empty(), "F26: {} bugs of the host, such as {}", bugs.len(), bugs[0]);
    let ended = |path: &str, statuses: &[&str]| {
        let is_one =
            |line: &&String| statuses.iter().any(|status| line.contains(&format!("{path} HTTP/1.1\" {status} -")));
        log.iter().filter(is_one).count() as u64
    };
    let of = |rest: u64| (0..REQUESTS).filter(|number| number % 6 == rest).count() as u64;
    assert_eq!(ended("GET /traps", &["500"]), of(1) + of(4));
    assert_eq!(ended("GET /streams", &["499"]), of(2));
    assert_eq!(ended("POST /waits", &["400", "499"]), of(5));
}

/// Counts the exchanges that have ended.
#[derive(Default)]
struct Ended(AtomicU64);

impl Listener for Ended {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Ended { .. } = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn ten_thousand_requests_leave_no_instance_behind() {
    apart(|| {
        let ended = Arc::<Ended>::default();
        let local = Local::start(local::component("misbehaves"), Arc::clone(&ended) as _);
        ask_all(local.addr, 0..REQUESTS);
        local.stop();
        assert_eq!(ended.0.load(Ordering::Relaxed), REQUESTS, "L5: each exchange ends once");
    });
}

#[test]
fn memory_is_returned_after_a_burst_of_requests() {
    returns_memory(&Launch::mounted(&["echo", "overflows_the_stack"]).start(), "/echo", "/overflows_the_stack");
}

#[test]
fn memory_is_returned_after_a_burst_of_asynchronous_requests() {
    returns_memory(&Server::start("speaks_wasi_http_3"), "/echoes-by-hand", "/overflows-the-stack");
}

/// A server whose handlers echo at one path and overflow the stack at the other returns the memory of all stacks.
fn returns_memory(server: &Server, echo: &str, overflow: &str) {
    const STACKS: usize = 48;
    // First make the pool use this many stacks at once, then recurse deeply often enough to use all of each stack.
    let post = format!("POST {echo} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n");
    let mut waiting: Vec<Client> = (0..STACKS).map(|_| server.connect()).collect();
    waiting.iter_mut().for_each(|client| client.send(&post));
    waiting.iter_mut().for_each(|client| client.send("!"));
    waiting.iter_mut().for_each(|client| assert_eq!(client.response().text(), "!"));
    for _ in 0..2 * STACKS {
        assert_eq!(server.get(overflow).status, 500);
    }
    // A busy machine takes long to give memory back, and then waits a hundred times as long before it does so again.
    let deadline = Instant::now() + 5 * TIMEOUT;
    while server.peak() < server.resident() + (8 << 20) {
        assert!(Instant::now() < deadline, "{} of {} bytes are still resident", server.resident(), server.peak());
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.get(overflow).status, 500, "the server still works");
    assert_eq!(server.ask(format!("{post}!")).text(), "!", "the server still works");
}
