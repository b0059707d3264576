//! Writes empty chunks forever.

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(_environ: Environ, start_response: StartResponse) -> Result<()> {
    let write = start_response("200 OK", &[]);
    loop {
        write(b"")?;
    }
}
