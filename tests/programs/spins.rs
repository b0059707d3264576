//! Computes forever, except for `/fine`.
//!
//! For `/late`, computes after the first chunk.

use std::hint::black_box;

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<&'static str> {
    let write = start_response("200 OK", &[]);
    match environ.path() {
        "/fine" => return Ok("fine"),
        "/late" => write(b"first")?,
        _ => {}
    }
    loop {
        black_box(());
    }
}
