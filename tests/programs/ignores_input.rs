//! Answers without a look at the request's body.

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(_environ: Environ) -> &'static str {
    "ignored"
}
