//! Sleeps forever, except for `/fine`.
//!
//! For `/late`, sleeps after the first chunk.

use std::{thread, time::Duration};

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
        thread::sleep(Duration::from_secs(3600));
    }
}
