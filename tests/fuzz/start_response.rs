//! Any calls of a handler, with any arguments.
//!
//! Whatever passes the checks is well-formed on the wire and never exceeds a declared length, and nothing panics.

#![no_main]

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use wasmserve::gateway::{
    head::HeadLimits,
    response::{Reader, ResponseRules, Takes, channel},
};

#[derive(Arbitrary, Debug)]
enum Call {
    Start(String, Vec<(String, Vec<u8>)>, Option<Vec<u8>>),
    /// A start with a plausible status. `Start` mostly has nonsense.
    StartWell(u8, Vec<(bool, Vec<u8>)>, Option<u8>),
    Write(Vec<u8>),
    Finish(Vec<u8>),
    Read,
}

/// What the client has received.
#[derive(Default)]
struct Got {
    head: Option<http::response::Parts>,
    bytes: u64,
    is_at_end: bool,
}

fuzz_target!(|input: (bool, Vec<Call>)| {
    let (is_head, calls) = input;
    let (mut writer, mut reader) =
        channel(ResponseRules { is_head, trailers: Takes::Nothing, limits: HeadLimits { bytes: 4096, fields: 20 } });
    let mut got = Got::default();
    for call in calls {
        match call {
            Call::Start(status, fields, exc_info) => drop(writer.start(&status, fields, exc_info)),
            Call::StartWell(status, values, length) => {
                let mut fields: Vec<(String, Vec<u8>)> =
                    values.into_iter().map(|(is_a, value)| (if is_a { "A" } else { "b" }.into(), value)).collect();
                if let Some(length) = length {
                    fields.push(("content-length".into(), length.to_string().into()));
                }
                _ = writer.start(&format!("{} x", 200 + u16::from(status)), fields, None);
            }
            Call::Write(chunk) => {
                let mut write = pin!(writer.write(Bytes::from(chunk)));
                // A write that is pending waits for a reader.
                while write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                    read(&mut reader, &mut got);
                }
            }
            Call::Finish(last) => drop(writer.finish(Bytes::from(last))),
            Call::Read => read(&mut reader, &mut got),
        }
    }
    let ended = writer.end();
    drop(writer);
    read(&mut reader, &mut got);
    assert!(ended.is_err() || got.is_at_end, "the handler ended without an error, but the response is incomplete");
});

/// Reads what is available, and checks it.
fn read(reader: &mut Reader, got: &mut Got) {
    let mut cx = Context::from_waker(Waker::noop());
    if got.head.is_none()
        && let Poll::Ready(Some(head)) = reader.poll_head(&mut cx)
    {
        assert!((200..=999).contains(&head.status.as_u16()), "{head:?}");
        for (name, value) in &head.headers {
            assert!(!value.as_bytes().iter().any(|byte| b"\r\n\0".contains(byte)), "{name}: {value:?}");
            assert!(!["connection", "transfer-encoding", "trailer"].contains(&name.as_str()), "{name}");
        }
        assert!(head.headers.get_all("content-length").iter().count() <= 1, "{head:?}");
        got.head = Some(head);
    }
    let Some(head) = &got.head else { return };
    while let Poll::Ready(chunk) = reader.poll_chunk(&mut cx) {
        match chunk {
            Some(Ok(chunk)) => {
                assert!(!chunk.is_empty(), "an empty chunk would end a body");
                assert!(!matches!(head.status.as_u16(), 204 | 205 | 304), "{} has a body", head.status);
                got.bytes += chunk.len() as u64;
                if let Some(length) = head.headers.get("content-length") {
                    let length: u64 = length.to_str().expect("ASCII").parse().expect("a number");
                    assert!(got.bytes <= length, "{} bytes of {length}", got.bytes);
                }
            }
            Some(Err(_)) => return,
            None => {
                got.is_at_end = true;
                return;
            }
        }
    }
}
