//! Answers with the fields that it got, as many as a browser sends and a framework sets.

use wasmserve_guest::{Environ, Response, handler};

handler!(app);

fn app(environ: Environ) -> Response {
    let fields = environ.headers().into_iter().filter(|(name, _)| name.starts_with("X-"));
    Response::new(200, fields.collect::<Vec<_>>(), "Hello, World!\n")
}
