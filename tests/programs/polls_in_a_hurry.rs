//! Waits for a duration of zero, forever.

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(_environ: Environ) -> String {
    loop {
        subscribe_duration(0).block();
    }
}
