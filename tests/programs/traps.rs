//! Traps, except for `/fine`.

use std::process;

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> &'static str {
    if environ.path() == "/fine" { "fine" } else { process::abort() }
}
