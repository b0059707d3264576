//! Calls itself for ever, and the host each time: the host's functions are called with nearly no stack left.

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> String {
    down(&environ, 1).to_string()
}

/// Not a tail call, so that each turn needs a frame.
#[expect(unconditional_recursion, reason = "it is what this program is for")]
fn down(environ: &Environ, turn: usize) -> usize {
    let length = environ.raw_head().len();
    down(environ, turn + 1) * length + turn
}
