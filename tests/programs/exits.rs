//! Exits with the query's `code`.
//!
//! For `/answered`, exits after the response.

use std::process;

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<&'static str> {
    if environ.path() == "/answered" {
        start_response("200 OK", &[])(b"answered")?;
    }
    process::exit(environ.query().get("code").unwrap_or("1").parse()?)
}
