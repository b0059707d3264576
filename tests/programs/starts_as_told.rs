//! Starts its response with the `status` and the `field`s of the query, and pushes its `chunk`s. What the host says to
//! that goes into the log; the handler itself does not care.

use wasmserve_guest::{Application, Environ, Result, StartResponse, handler, parse_qs_with_blanks};

handler!(Obedient);

/// A function's result would be sent too.
struct Obedient;

impl Application<()> for Obedient {
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        let told = parse_qs_with_blanks(environ.get("QUERY_STRING").unwrap_or_default());
        let fields = told.get_all("field").iter().filter_map(|field| field.split_once(':'));
        let fields: Vec<(&str, &str)> = fields.collect();
        match start_response.attempt(told.get("status").unwrap_or("200 OK"), &fields) {
            Err(error) => environ.errors().log(format!("start: {error:?}")),
            Ok(write) => {
                for chunk in told.get_all("chunk") {
                    environ.errors().log(format!("write: {:?}", write(chunk.as_bytes())));
                }
            }
        }
        Ok(())
    }
}
