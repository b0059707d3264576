//! Loops forever. The server stops it at its time limit and logs the stack with `stuck_here`; other requests are not
//! affected.
//!
//! Try it: `curl -i http://127.0.0.1:8000/`

use std::hint::black_box;

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(_environ: Environ) -> &'static str {
    stuck_here()
}

/// Not inlined, and with a loop that is not optimised away, so that it appears in the stack.
#[inline(never)]
fn stuck_here() -> ! {
    let mut turns: u64 = 0;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
