//! Traps when a part of its response is on its way; `/length` tells the length before.

use std::process;

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<&'static str> {
    let write = match environ.path().to_str()? {
        "/length" => start_response("200 OK", &[("Content-Length", "10")]),
        _ => start_response("200 OK", &[]),
    };
    write(b"first")?;
    process::abort()
}
