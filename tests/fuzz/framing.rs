//! Any bytes from a client, split at any place: the server takes the requests that hyper finds, or refuses them.
//!
//! The first two bytes say where the stream is split.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (cuts, stream) = bytes.split_at(bytes.len().min(2));
    let cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut)).collect();
    _ = wasmserve_fuzz::compare(stream, &cuts);
});
