//! Sends more bytes than its `Content-Length` declares.

use wasmserve_guest::{Environ, StartResponse, handler};

handler!(app);

fn app(_environ: Environ, start_response: StartResponse) -> impl Iterator<Item = &'static str> {
    start_response("200 OK", &[("Content-Length", "3")]);
    ["ab", "cd", "ef"].into_iter()
}
