//! Any bytes as what a client sends, cut anywhere: the server takes what hyper finds in them, or refuses, and never takes anything else.
//! The first two bytes are where the stream is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (cuts, stream) = bytes.split_at(bytes.len().min(2));
    let cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut)).collect();
    _ = wasmserve_fuzz::compare(stream, &cuts);
});
