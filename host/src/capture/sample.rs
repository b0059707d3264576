//! Records for tests.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::select};

use super::record::{Build, Cut, Ending, Facts, Failure, Line, Marks, Origin, Outcome, Protocol, Record, Side};

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

/// What requests and responses are made of.
const PIECES: [&[u8]; 40] = [
    b"GET / HTTP/1.1",
    b"HEAD /a?b=c#d HTTP/1.0",
    b"POST http://h:1/ HTTP/1.1",
    b"get  /\xe9 HTTP/9.9",
    b"CONNECT h:443 HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"OPTIONS * HTTP/2",
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.0 204 ",
    b"HTTP/1.1 999",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\n\n",
    b"\r",
    b"Host: x",
    b"Host:",
    b"Cookie: a=b; =; c",
    b"Authorization: Basic eDp5",
    b"Content-Length: 3",
    b"Content-Length: 18446744073709551615",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Content-Type: multipart/form-data; boundary=",
    b"Content-Encoding: gzip",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"Upgrade: websocket",
    b": no name",
    b" folded",
    b"3;a=\"\xff\"\r\nabc\r\n",
    b"0\r\nT: u\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"{\"a\":[1,{}]}",
    b"?token=\xff&&=&%zz%",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
    b"\0\xff\x16\x03\x01\xe2\x80\xae",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => select(&PIECES[..]).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..20),
    ];
    vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

/// One direction, as a file that somebody has edited may have it: what is said of the bytes need not fit to them.
fn any_side() -> impl Strategy<Value = Side> {
    let end = select(&[Ending::Open, Ending::Whole, Ending::Closed, Ending::Broken][..]);
    let cut = select(&[None, Some(Cut::HeadMax), Some(Cut::BodyMax), Some(Cut::NoRoom), Some(Cut::Lost)][..]);
    let number = || prop_oneof![3 => 0..40_u64, 1 => Just(u64::MAX)];
    let turns = vec((number(), prop_oneof![3 => 0..40_u32, 1 => Just(u32::MAX)]), 0..4);
    // Packets show so much of what is missing.
    let more = prop_oneof![3 => 0..40_u64, 1 => Just(1 << 20)];
    let trailers = proptest::option::of(number());
    (message(), number(), more, any::<bool>(), turns, trailers, end, cut).prop_map(
        |(bytes, head, more, has_head, turns, trailers, end, cut)| {
            let plain = side(&bytes, 0);
            let total = plain.total.saturating_add(more);
            // A reader of files sees to that much.
            let head = if has_head { plain.head } else { head.min(total) };
            let trailers = trailers.map(|at| at.clamp(head, total));
            Side { total, head, turns, trailers, end, cut, ..plain }
        },
    )
}

/// Any record.
pub(crate) fn any_record() -> impl Strategy<Value = Record> {
    let (mount, of) = (select(vec!["/", "/a", "", "a//b", "/\u{202e}"]), any::<Option<u64>>());
    let content_length = select(vec![None, Some(0), Some(u64::MAX)]);
    let rest = (mount, of, content_length, any::<bool>(), any::<bool>(), any::<[Option<u64>; 6]>(), 0..5_u16);
    (any_side(), any_side(), rest).prop_map(
        |(request, response, (mount, of, content_length, is_http2, has_failed, marks, status))| {
            let base = if has_failed { failed(b"", b"") } else { record(b"", b"") };
            let [head, admitted, started, responded, ended, completed] = marks;
            let facts = Facts {
                mount: mount.into(),
                content_length,
                server_name: Some(mount.into()),
                forwarded_for: None,
                is_https: Some(is_http2),
                timeout: Duration::MAX,
                env: vec!["HTTP_HOST".into(), mount.into()],
            };
            Record {
                origin: of.map_or(Origin::Client, |id| Origin::Replay {
                    of,
                    id,
                    edited: is_http2,
                    script: None,
                    number: 0,
                }),
                began: head.unwrap_or(0),
                protocol: if is_http2 { Protocol::Http2 } else { Protocol::Http1 },
                facts: (status > 0).then_some(facts),
                marks: Marks { head, admitted, started, responded, ended, completed },
                outcome: (status > 1).then_some(Outcome {
                    is_answered: true,
                    status: 499 + status,
                    sent: u64::MAX,
                    cpu: None,
                    memory: Some(0),
                }),
                request,
                response,
                ..base
            }
        },
    )
}
