//! Answers without a look at the request's body; for `/slowly` it computes for a while before that.

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
