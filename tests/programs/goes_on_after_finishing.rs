//! Finishes its response, and then traps.

use std::process;

use wasmserve_guest::{Body, Environ, Outlet, Result, StartResponse, handler};

handler!(app);

fn app(_environ: Environ, start_response: StartResponse) -> Finished {
    start_response("200 OK", &[("Content-Type", "text/plain")]);
    Finished
}

struct Finished;

impl Body<Finished> for Finished {
    fn send(self, outlet: Outlet) -> Result<()> {
        outlet.finish(b"finished")?;
        process::abort()
    }
}
