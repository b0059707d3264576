//! Large bodies, checked to the last byte, and the memory that they use.

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

/// By how much memory may grow, whatever the size of the body.
pub const FLAT: u64 = 16 * MIB;

/// The blocks that `downloads` sends: block N repeats the byte N.
#[must_use]
pub fn block(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(BLOCK / size_of::<u64>())
}

/// Reads a body that must consist of exactly this many bytes of these blocks.
fn check(body: &mut Body<'_>, length: u64) {
    let (mut at, mut number, mut expected) = (0, 0, block(0));
    for piece in body.by_ref() {
        let mut piece = &*piece;
        while !piece.is_empty() {
            let offset = usize::try_from(at % BLOCK as u64).expect("it is less than a block");
            let (now, later) = piece.split_at(piece.len().min(BLOCK - offset));
            assert!(now == &expected[offset..offset + now.len()], "wrong bytes after {at}");
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

/// Has `echo` send this many bytes back, and checks each of them.
///
/// # Panics
///
/// A byte is missing or wrong.
pub fn echo(server: &Server, length: u64) {
    let mut client = server.connect();
    let mut sender = client.sender();
    let sending = thread::spawn(move || {
        let head = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
        sender.write_all(head.as_bytes()).expect("the server reads the head");
        for number in 0..length / BLOCK as u64 {
            sender.write_all(&block(number)).expect("the server reads the body");
        }
    });
    let head = client.head().expect("there is a response");
    assert_eq!(head.status, 200);
    check(&mut client.body(&head), length);
    sending.join().expect("the sender does not panic");
}

/// Has `downloads` send this many bytes, and checks each of them.
///
/// # Panics
///
/// A byte is missing or wrong.
pub fn download(server: &Server, length: u64) {
    let mut client = server.connect();
    client.send(format!("GET /?blocks={} HTTP/1.1\r\nHost: test\r\n\r\n", length / BLOCK as u64));
    let head = client.head().expect("there is a response");
    assert_eq!(head.status, 200);
    check(&mut client.body(&head), length);
}

/// Does something with a server, and returns by how much the server's memory grew.
pub fn growth(server: &Server, work: impl FnOnce()) -> u64 {
    server.forget_peak();
    let before = server.resident();
    work();
    server.peak().saturating_sub(before)
}

/// A server of this guest, with enough time and memory for bodies of this size.
#[must_use]
pub fn start(program: &str) -> Server {
    Launch::program(program).flags(["--max-body", "2GiB", "--timeout", "10m", "--cpu-time", "10m"]).start()
}
