//! Answers with the hash of nothing, which depends on the seed that the standard library has drawn.

use std::hash::{BuildHasher as _, RandomState};

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(_environ: Environ) -> String {
    RandomState::new().hash_one(()).to_string()
}
