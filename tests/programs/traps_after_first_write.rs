//! Traps after it has written a part of its response.
//!
//! For `/length`, declares the length first.

use std::process;

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<&'static str> {
    let write = match environ.path() {
        "/length" => start_response("200 OK", &[("Content-Length", "10")]),
        _ => start_response("200 OK", &[]),
    };
    write(b"first")?;
    process::abort()
}
