//! Allocates memory until there is none left.
//!
//! For `/careful`, handles failed allocations and answers with the number of MiB.

use wasmserve_guest::{Environ, handler};

handler!(app);

const MIB: usize = 1 << 20;
/// Copied in one piece: a loop over each byte would take most of the time.
const BYTES: &[u8] = &[1; MIB];

fn app(environ: Environ) -> String {
    let is_careful = environ.path() == "/careful";
    let mut hoard: Vec<Vec<u8>> = Vec::with_capacity(10_000);
    loop {
        let mut more = Vec::new();
        if is_careful && more.try_reserve_exact(MIB).is_err() {
            return hoard.len().to_string();
        }
        more.extend_from_slice(BYTES);
        hoard.push(more);
    }
}
