//! Does what its path says with the file at the query's `path`, and answers with the result.

use std::{fs, io};

use wasmserve_guest::{Environ, Result, handler};

handler!(app);

fn app(environ: Environ) -> Result<String> {
    let query = environ.query();
    let path = query.get("path").unwrap_or_default();
    let outcome: io::Result<String> = match environ.path() {
        "/read" => fs::read_to_string(path),
        "/metadata" => fs::metadata(path).map(|metadata| metadata.len().to_string()),
        "/list" => fs::read_dir(path).and_then(|entries| {
            let names: io::Result<Vec<String>> =
                entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
            Ok(names?.join(" "))
        }),
        "/create" => fs::write(path, "new").map(|()| String::new()),
        "/create-dir" => fs::create_dir(path).map(|()| String::new()),
        "/remove" => fs::remove_file(path).map(|()| String::new()),
        "/rename" => fs::rename(path, path).map(|()| String::new()),
        _ => Ok(String::new()),
    };
    Ok(format!("{outcome:?}"))
}
