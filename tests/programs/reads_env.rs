//! Answers with all environment variables of its process, and with one variable of the environ.
//!
//! The query names the latter (`name`). For `/arguments`, answers with its arguments instead. For `/panic` and `/error`, fails without the variable `API_KEY`.

use std::env;

use wasmserve_guest::{Environ, Result, handler};

handler!(app);

fn app(environ: Environ) -> Result<String> {
    match environ.path() {
        "/arguments" => return Ok(format!("{:?}", env::args().collect::<Vec<_>>())),
        "/panic" => return Ok(env::var("API_KEY").unwrap()),
        "/error" => return Ok(env::var("API_KEY")?),
        _ => {}
    }
    let query = environ.query();
    let name = query.get("name").unwrap_or_default();
    Ok(format!("process: {:?}\nenviron: {:?}", env::vars().collect::<Vec<_>>(), environ.get(name)))
}
