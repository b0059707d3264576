//! Every variable of the request, one a line: what a handler can know. Compare `environ` with `headers`, which are the
//! header lines as the client sent them.
//!
//! Try it: `curl 'http://127.0.0.1:8000/a%20path?a=query' -H 'X-Mine: 1'`

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> String {
    let variables = environ.copy_all().into_iter();
    variables.map(|(name, value)| format!("{name} = {value:?}\n")).collect()
}
