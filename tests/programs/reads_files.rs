//! Reads the query's `file`, or writes the query's `text` to it, and answers with the result.

use std::{fs, io};

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> String {
    let query = environ.query();
    let file = query.get("file").unwrap_or_default();
    let outcome: io::Result<String> = match query.get("text") {
        Some(text) => fs::write(file, text).map(|()| "written".to_owned()),
        None => fs::read_to_string(file),
    };
    format!("{outcome:?}")
}
