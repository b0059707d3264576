//! Any bytes as a request head: `httparse` parses every accepted head to the same parts, in the same order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmserve::gateway::{
    request::RequestLimits,
    stream::{Parser, Piece},
};

fuzz_target!(|bytes: &[u8]| {
    let mut parser = Parser::new(RequestLimits::DEFAULT);
    let mut rest = bytes;
    if let Some(Piece::Start(start)) = parser.next(&mut rest)
        && start.refusal.is_none()
    {
        assert!(bytes.ends_with(rest) && bytes[..bytes.len() - rest.len()].ends_with(start.head.raw()));
        wasmserve_fuzz::judge_head(&start.head);
    }
});
