//! Recurses forever, except for `/fine`.

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> String {
    match environ.path() == "/fine" {
        true => "fine".to_owned(),
        false => down(1).to_string(),
    }
}

/// Not a tail call, so each call needs a frame.
#[expect(unconditional_recursion, reason = "this is what the program is for")]
fn down(turn: u64) -> u64 {
    down(turn + 1) * turn
}
