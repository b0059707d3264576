//! Records for tests.

use std::time::Duration;

use super::record::{Build, Ending, Facts, Failure, Line, Marks, Origin, Outcome, Protocol, Record, Side};

/// The record of an exchange on a connection from 127.0.0.1:50000 to 127.0.0.1:8000, answered by `app.rs` after 1.5 ms.
pub(crate) fn record(request: &[u8], response: &[u8]) -> Record {
    Record {
        seq: 17,
        id: 17,
        origin: Origin::Client,
        began: 1_796_022_961_123_456,
        connection: 3,
        nth: 1,
        protocol: Protocol::Http1,
        remote: ([127, 0, 0, 1], 50_000).into(),
        local: ([127, 0, 0, 1], 8000).into(),
        facts: Some(Facts {
            mount: "/".into(),
            server_name: None,
            content_length: None,
            forwarded_for: None,
            is_https: None,
            timeout: Duration::from_secs(30),
            env: Vec::new(),
        }),
        handler: Some(Build { name: "app.rs".into(), number: 1 }),
        request: side(request, 100),
        response: side(response, 1500),
        marks: Marks {
            head: Some(100),
            admitted: Some(300),
            started: Some(310),
            responded: Some(1500),
            ended: Some(1900),
            completed: Some(2000),
        },
        lines: vec![Line { at: 700, stream: "log".into(), text: "a line".into() }],
        fault: None,
        script: None,
        left: None,
        outcome: Some(Outcome { is_answered: true, status: 200, sent: 0, cpu: Some(900), memory: Some(1 << 20) }),
        kept: None,
    }
}

/// The same after a trap.
pub(super) fn failed(request: &[u8], response: &[u8]) -> Record {
    let stack = vec!["app::divide".into()];
    let fault = Failure { kind: "trap".into(), at: 1400, text: "integer divide by zero".into(), stack };
    Record { fault: Some(fault), ..record(request, response) }
}

fn side(bytes: &[u8], at: u64) -> Side {
    let mut head = 0;
    // Interim responses are a part of the head.
    while head == 0 || bytes[head..].starts_with(b"HTTP/1.1 ") {
        head = memchr::memmem::find(&bytes[head..], b"\r\n\r\n").map_or(bytes.len(), |end| head + end + 4);
        if head == bytes.len() {
            break;
        }
    }
    let length = u32::try_from(bytes.len()).expect("it is short");
    Side {
        bytes: bytes.to_vec().into(),
        total: length.into(),
        head: head as u64,
        trailers: None,
        is_inexact: false,
        turns: if length > 0 { vec![(at, length)] } else { Vec::new() },
        end: Ending::Whole,
        cut: None,
    }
}
