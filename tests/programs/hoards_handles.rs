//! Creates handles forever, and drops none.

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(_environ: Environ) -> String {
    let mut hoard = Vec::new();
    loop {
        hoard.push(subscribe_duration(0));
    }
}
