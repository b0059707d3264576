//! Answers with all environment variables of its process, and with one variable of the environ.
//!
//! The query names the latter (`name`).

use std::env;

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> String {
    let query = environ.query();
    let name = query.get("name").unwrap_or_default();
    format!("process: {:?}\nenviron: {:?}", env::vars().collect::<Vec<_>>(), environ.get(name))
}
