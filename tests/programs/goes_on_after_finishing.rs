//! Finishes its response, and then traps.

use std::process;

use wasmserve_guest::{Body, BodyWriter, Environ, Result, StartResponse, handler};

handler!(app);

fn app(_environ: Environ, start_response: StartResponse) -> Finished {
    start_response("200 OK", &[("Content-Type", "text/plain")]);
    Finished
}

struct Finished;

impl Body<Finished> for Finished {
    fn send(self, writer: BodyWriter) -> Result<()> {
        writer.finish(b"finished")?;
        process::abort()
    }
}
