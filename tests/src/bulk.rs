//! Large bodies, checked to the last octet, and what memory they take.

use std::{io::Write as _, thread};

use crate::{
    client::{Body, End},
    server::{Launch, Server},
};

/// The size of a block.
pub const BLOCK: usize = 64 << 10;
/// A mebibyte.
pub const MIB: u64 = 1 << 20;
/// A gibibyte.
pub const GIB: u64 = 1 << 30;

/// What memory may grow by however large a body is.
pub const FLAT: u64 = 16 * MIB;

/// The same blocks as `downloads` sends: their number, again and again.
#[must_use]
pub fn block(number: u64) -> Vec<u8> {
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
///
/// # Panics
///
/// One is missing or wrong.
pub fn echo(server: &Server, length: u64) {
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
///
/// # Panics
///
/// One is missing or wrong.
pub fn download(server: &Server, length: u64) {
    let mut client = server.connect();
    client.send(format!("GET /?blocks={} HTTP/1.1\r\nHost: test\r\n\r\n", length / BLOCK as u64));
    let head = client.head().expect("there is a response");
    assert_eq!(head.status, 200);
    check(&mut client.body(&head), length);
}

/// Does something with a server and tells by how much its memory grew meanwhile.
pub fn growth(server: &Server, work: impl FnOnce()) -> u64 {
    server.forget_peak();
    let before = server.resident();
    work();
    server.peak().saturating_sub(before)
}

/// A server of that guest, with time and room for bodies of that size.
#[must_use]
pub fn start(program: &str) -> Server {
    Launch::program(program).flags(["--max-body", "2GiB", "--timeout", "10m", "--cpu-time", "10m"]).start()
}
