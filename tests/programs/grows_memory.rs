//! Takes memory until there is no more; for `/careful` it asks before, and answers how many MiB there were.

use wasmserve_guest::{Environ, handler};

handler!(app);

const MIB: usize = 1 << 20;
/// Copied at once: a loop over each octet would be what takes the time.
const OCTETS: &[u8] = &[1; MIB];

fn app(environ: Environ) -> String {
    let is_careful = environ.path() == "/careful";
    let mut hoard: Vec<Vec<u8>> = Vec::with_capacity(10_000);
    loop {
        let mut more = Vec::new();
        if is_careful && more.try_reserve_exact(MIB).is_err() {
            return hoard.len().to_string();
        }
        more.extend_from_slice(OCTETS);
        hoard.push(more);
    }
}
