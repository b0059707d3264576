//! The counters: each accepted request was answered, aborted or shed, and nothing stays in the pool.

use wasmserve_tests::server::{Launch, Server};

/// A server with `--stats`, and a function that reads one of its metrics.
fn server(program: &str, flags: &[&str]) -> (Server, impl Fn(&str) -> u64) {
    let server = Launch::program(program).flags(["--stats", "127.0.0.1:0"]).flags(flags).start();
    let line = server.line(|line| line.starts_with("statistics on http://"));
    let addr = line["statistics on http://".len()..].trim_end_matches("/metrics").parse().expect("an address");
    let read = move |name: &str| {
        let mut client = wasmserve_tests::client::Client::connect(addr);
        client.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = client.response();
        let value = answer.text().lines().find_map(|line| line.strip_prefix(&format!("wasmserve_{name} ")));
        value.unwrap_or_else(|| panic!("no {name} in {}", answer.text())).parse().expect("a number")
    };
    (server, read)
}

#[test]
fn every_request_is_counted_once_and_the_pool_is_empty_again() {
    let (server, read) = server("misbehaves", &["--timeout", "1s"]);
    for number in 0..60 {
        let mut client = server.connect();
        match number % 6 {
            0 => client.send("GET /well HTTP/1.1\r\nHost: x\r\n\r\n"),
            1 => client.send("GET /traps HTTP/1.1\r\nHost: x\r\n\r\n"),
            2 => client.send("nonsense\r\n\r\n"),
            3 => {
                // Disconnects in the middle of the response.
                client.send("GET /streams HTTP/1.1\r\nHost: x\r\n\r\n");
                assert_eq!(client.head().expect("a response head").status, 200);
                continue;
            }
            4 => client.send("POST /waits HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello"),
            _ => client.send("GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
        }
        if number % 6 != 4 {
            assert!(client.try_response().is_some());
        }
    }
    let entries = |log: &[String]| log.iter().filter(|line| line.starts_with("127.0.0.1 - - [")).count();
    assert_eq!(entries(&server.log_with(|log| entries(log) == 60)), 60, "L5");
    assert_eq!(read("requests_accepted_total"), 60);
    assert_eq!(read("requests_answered_total") + read("requests_aborted_total"), 60);
    assert!(read("requests_aborted_total") >= 10);
    assert_eq!(read("faults_total{kind=\"trap\"}"), 10);
    while read("instances_live") > 0 {
        std::thread::yield_now();
    }
    for name in ["pool_instances", "pool_memories", "pool_tables", "pool_stacks"] {
        assert_eq!(read(name), 0, "{name}");
    }
}

#[test]
fn a_fault_after_a_complete_response_is_counted_and_changes_nothing_else() {
    let (server, read) = server("goes_on_after_finishing", &[]);
    assert_eq!(server.get("/").text(), "finished");
    server.line_with("200 trap: after the response: ");
    assert_eq!(read("faults_total{kind=\"trap\"}"), 1);
    assert_eq!((read("requests_accepted_total"), read("requests_answered_total")), (1, 1));
}

#[test]
fn f33_requests_beyond_the_limits_are_shed_with_a_503_and_counted() {
    let (server, read) = server("reads_input", &["--max-exchanges", "1", "--max-queue", "0"]);
    let mut first = server.connect();
    first.send("POST /eager HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    let head = first.head().expect("a response head");
    let shed = server.get("/");
    assert_eq!((shed.status, shed.field("retry-after"), shed.field("wasmserve-fault")), (503, Some("1"), Some("busy")));
    first.send("hello");
    assert_eq!(first.body(&head).flatten().collect::<Vec<u8>>(), b"reading\n5 octets, trailers []\n");
    while read("instances_live") > 0 {
        std::thread::yield_now();
    }
    assert_eq!(server.get("/").status, 200, "a place is free again");
    assert_eq!((read("requests_accepted_total"), read("requests_shed_total")), (3, 1));
}

#[test]
fn queued_requests_are_admitted_when_a_place_is_free() {
    let (server, _) = server("reads_input", &["--max-exchanges", "1", "--queue-wait", "1m"]);
    let mut first = server.connect();
    first.send("POST /eager HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(first.head().expect("a response head").status, 200);
    let mut waiting: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    first.send("hello");
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn statistics_are_served_on_loopback_only() {
    let ended = Launch::program("counts").flags(["--stats", "0.0.0.0:0"]).run();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("loopback"), "{}", ended.stderr);
}
