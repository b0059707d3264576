//! Bodies of any size pass in both directions, exactly, and without being kept.

use std::{io::Write as _, thread};

use wasmserve_tests::{
    client::{Body, End},
    server::{Launch, Server},
};

const BLOCK: usize = 64 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What memory may grow by however large a body is.
const FLAT: u64 = 16 * MIB;

/// The same blocks as `downloads` sends: their number, again and again.
fn block(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(BLOCK / size_of::<u64>())
}

/// Reads a body that must be so many octets of these blocks, and nothing else.
fn check(body: &mut Body<'_>, length: u64) {
    let (mut at, mut number, mut expected) = (0, 0, block(0));
    for piece in body.by_ref() {
        let mut piece = &*piece;
        while !piece.is_empty() {
            let offset = usize::try_from(at % BLOCK as u64).expect("it is less than a block");
            let (now, later) = piece.split_at(piece.len().min(BLOCK - offset));
            assert!(now == &expected[offset..offset + now.len()], "octets are wrong after {at}");
            at += now.len() as u64;
            piece = later;
            if at.is_multiple_of(BLOCK as u64) {
                number += 1;
                expected = block(number);
            }
        }
    }
    assert_eq!((at, body.end()), (length, End::Whole));
}

/// Has `echo` send so many octets back, and checks each of them.
fn echo(server: &Server, length: u64) {
    let mut client = server.connect();
    let mut sender = client.sender();
    let sending = thread::spawn(move || {
        let head = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
        sender.write_all(head.as_bytes()).expect("the server takes it");
        for number in 0..length / BLOCK as u64 {
            sender.write_all(&block(number)).expect("the server takes it");
        }
    });
    let head = client.head().expect("there is a response");
    assert_eq!(head.status, 200);
    check(&mut client.body(&head), length);
    sending.join().expect("all was sent");
}

/// Has `downloads` send so many octets, and checks each of them.
fn download(server: &Server, length: u64) {
    let mut client = server.connect();
    client.send(format!("GET /?blocks={} HTTP/1.1\r\nHost: test\r\n\r\n", length / BLOCK as u64));
    let head = client.head().expect("there is a response");
    assert_eq!(head.status, 200);
    check(&mut client.body(&head), length);
}

/// Does something with a server and tells by how much its memory grew meanwhile.
fn growth(server: &Server, work: impl FnOnce()) -> u64 {
    server.forget_peak();
    let before = server.resident();
    work();
    server.peak().saturating_sub(before)
}

fn start(program: &str) -> Server {
    Launch::program(program).flags(["--max-body", "2GiB", "--timeout", "10m", "--cpu-time", "10m"]).start()
}

#[test]
fn a_gibibyte_goes_up_and_comes_down_again_and_memory_stays_flat() {
    let server = start("echo");
    echo(&server, 32 * MIB);
    let growth = growth(&server, || echo(&server, GIB));
    assert!(growth <= FLAT, "memory grew by {growth} octets");
}

#[test]
fn a_gibibyte_comes_down_and_memory_stays_flat() {
    let server = start("downloads");
    download(&server, 32 * MIB);
    let growth = growth(&server, || download(&server, GIB));
    assert!(growth <= FLAT, "memory grew by {growth} octets");
}

#[test]
fn b8_clients_that_read_slowly_make_the_handler_wait_and_memory_stays_flat() {
    let server = start("downloads");
    download(&server, 32 * MIB);
    let growth = growth(&server, || {
        let mut slow: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for (number, client) in slow.iter_mut().enumerate() {
            client.send(format!("GET /slow/{number} HTTP/1.1\r\nHost: test\r\n\r\n"));
            assert_eq!(client.head().expect("there is a response").status, 200);
        }
        // Time enough for handlers that do not wait to fill any memory.
        for _ in 0..8 {
            download(&server, 32 * MIB);
        }
    });
    assert!(growth <= FLAT, "memory grew by {growth} octets");
    for number in 0..4 {
        server.line_with(&format!("\"GET /slow/{number} HTTP/1.1\" 499 -"));
    }
}

#[test]
fn i13_uploads_are_not_kept_while_they_are_read() {
    let server = start("reads_input");
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let growth = growth(&server, || {
        for client in &mut clients {
            client.send(format!("PUT /eager HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 64 * MIB));
            let head = client.head().expect("it begins");
            assert_eq!(client.body(&head).next().as_deref(), Some(&b"reading\n"[..]));
        }
        for number in 0..64 * MIB / BLOCK as u64 {
            for client in &mut clients {
                client.send(block(number));
            }
        }
    });
    for client in &mut clients {
        client.end();
        let rest = client.rest().0.escape_ascii().to_string();
        assert!(rest.contains("67108864 octets, trailers []"), "{rest}");
    }
    assert!(growth <= FLAT, "memory grew by {growth} octets");
}
