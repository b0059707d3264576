//! Sends fewer bytes than its `Content-Length` declares.

use wasmserve_guest::{Environ, StartResponse, handler};

handler!(app);

fn app(_environ: Environ, start_response: StartResponse) -> &'static str {
    start_response("200 OK", &[("Content-Length", "10")]);
    "short"
}
