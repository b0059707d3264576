//! Starts its response twice.
//!
//! For `/caught`, handles the refusal and continues with the first start. For `/replaced`, replaces the first one
//! because of an error; for `/late`, tries that too late.

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

const FIRST: (&str, &[(&str, &str)]) = ("200 OK", &[("X-First", "1")]);
const SECOND: (&str, &[(&str, &str)]) = ("503 Later", &[("X-Second", "2")]);

fn app(environ: Environ, start_response: StartResponse) -> Result<String> {
    let write = start_response(FIRST.0, FIRST.1);
    let path = environ.path();
    let second = match path {
        "/caught" => start_response.attempt(SECOND.0, SECOND.1),
        "/replaced" => start_response.replace(SECOND.0, SECOND.1, "the backend is away"),
        "/late" => {
            write(b"first")?;
            start_response.replace(SECOND.0, SECOND.1, "the backend is away")
        }
        _ => Ok(start_response(SECOND.0, SECOND.1)),
    };
    Ok(format!("{:?}", second.err()))
}
