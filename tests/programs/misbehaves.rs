//! Misbehaves as its path says: `/traps`, `/streams` forever, `/waits` for input.
//!
//! Otherwise answers normally.

use std::process;

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<&'static str> {
    let write = start_response("200 OK", &[("Content-Type", "text/plain")]);
    match environ.path() {
        "/traps" => process::abort(),
        "/streams" => loop {
            write(&[b'.'; 10_000])?;
        },
        "/waits" => {
            environ.input().read_all(1 << 20)?;
        }
        _ => {}
    }
    Ok("well")
}
