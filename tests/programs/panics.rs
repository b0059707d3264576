//! Panics, except for `/fine`.
//!
//! For `/late`, panics after the first chunk.

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<&'static str> {
    let write = start_response("200 OK", &[("Content-Type", "text/plain")]);
    match environ.path() {
        "/fine" => return Ok("fine"),
        "/late" => write(b"first")?,
        _ => {}
    }
    panic!("no coffee in {}", environ.path())
}
