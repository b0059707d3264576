//! Never ends. The server goes on without it: see what it says of `stuck_here` when it has had enough.
//!
//! Try it: `curl -i http://127.0.0.1:8000/`

use std::hint::black_box;

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(_environ: Environ) -> &'static str {
    stuck_here()
}

/// Stays a function of its own, and its loop a loop, so that there is something to find.
#[inline(never)]
fn stuck_here() -> ! {
    let mut turns: u64 = 0;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
