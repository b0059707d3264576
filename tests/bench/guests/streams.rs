//! Answers with 64 chunks of 1 KiB, each created when it is sent.

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(_environ: Environ) -> (u16, [(&'static str, &'static str); 1], impl Iterator<Item = Vec<u8>>) {
    let chunks = (0..64_u8).map(|number| vec![b' ' + number; 1024]);
    (200, [("Content-Type", "text/plain")], chunks)
}
