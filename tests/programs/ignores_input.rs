//! Answers without reading the request's body.
//!
//! For `/slowly`, computes for a while first.

use std::hint::black_box;

use wasmserve_guest::{Environ, Result, handler};

handler!(app);

fn app(environ: Environ) -> Result<&'static str> {
    if environ.path() == "/slowly" {
        for number in 0..30_000_000_u64 {
            black_box(number);
        }
    }
    Ok("ignored")
}
