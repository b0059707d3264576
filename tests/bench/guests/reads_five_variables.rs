//! Reads the five variables that most handlers read, one by one.

use wasmserve_guest::{Environ, handler};

handler!(app);

const NAMES: [&str; 5] = ["REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "REMOTE_ADDR"];

fn app(environ: Environ) -> Vec<u8> {
    NAMES.iter().flat_map(|name| environ.get(name).unwrap_or_default().into_bytes()).collect()
}
