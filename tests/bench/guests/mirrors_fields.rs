//! Answers with the fields that it received: about as many as browsers send and frameworks set.

use wasmserve_guest::{Environ, Response, handler};

handler!(app);

fn app(environ: Environ) -> Response {
    let fields = environ.headers().into_iter().filter(|(name, _)| name.starts_with("X-"));
    Response::new(200, fields.collect::<Vec<_>>(), "Hello, World!\n")
}
