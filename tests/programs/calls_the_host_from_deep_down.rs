//! Recurses forever, and calls the host at each level: host functions are called with almost no stack left.

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> String {
    down(&environ, 1).to_string()
}

/// Not a tail call, so each call needs a frame.
#[expect(unconditional_recursion, reason = "this is what the program is for")]
fn down(environ: &Environ, turn: usize) -> usize {
    let length = environ.raw_head().len();
    down(environ, turn + 1) * length + turn
}
