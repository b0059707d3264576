//! Any bytes as a request head: what the server accepts says the same to `httparse`, in every part and in order.

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
