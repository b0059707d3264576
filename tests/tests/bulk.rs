//! Bodies that are larger than the buffers for them. `tests/stream.rs` tests bodies of a gibibyte.

use wasmserve_tests::bulk::{BLOCK, FLAT, MIB, block, download, echo, growth, start};

#[test]
fn i13_an_upload_is_echoed_while_memory_stays_flat() {
    let server = start("echo");
    echo(&server, 32 * MIB);
    let growth = growth(&server, || echo(&server, 64 * MIB));
    assert!(growth <= FLAT, "memory grew by {growth} bytes");
}

#[test]
fn b8_clients_that_read_slowly_make_the_handler_wait_and_memory_stays_flat() {
    let server = start("downloads");
    download(&server, 32 * MIB);
    let growth = growth(&server, || {
        let mut slow: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for (number, client) in slow.iter_mut().enumerate() {
            client.send(format!("GET /slow/{number} HTTP/1.1\r\nHost: test\r\n\r\n"));
            assert_eq!(client.head().expect("a response head").status, 200);
        }
        // Enough time for a handler that does not wait to fill the memory.
        for _ in 0..8 {
            download(&server, 32 * MIB);
        }
    });
    assert!(growth <= FLAT, "memory grew by {growth} bytes");
    for number in 0..4 {
        server.line_with(&format!("\"GET /slow/{number} HTTP/1.1\" 499 -"));
    }
}

#[test]
fn i13_uploads_are_not_buffered_while_they_are_read() {
    let server = start("reads_input");
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    let growth = growth(&server, || {
        for client in &mut clients {
            client.send(format!("PUT /eager HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 64 * MIB));
            let head = client.head().expect("a response head");
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
    assert!(growth <= FLAT, "memory grew by {growth} bytes");
}
