//! Logs a line of 1 MiB, and then many more lines.

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> &'static str {
    let errors = environ.errors();
    errors.log("x".repeat(1 << 20));
    for line in 0..100_000 {
        errors.log(format!("line {line}"));
    }
    "flooded"
}
