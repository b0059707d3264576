//! Starts its response with the `status` and the `field`s of the query, and writes its `chunk`s.
//!
//! Logs the results, and ignores errors.

use wasmserve_guest::{Application, Environ, Result, StartResponse, handler, parse_qs_with_blanks};

handler!(Follower);

/// A type, because the result of a function would be sent as well.
struct Follower;

impl Application<()> for Follower {
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        let query = parse_qs_with_blanks(environ.get("QUERY_STRING").unwrap_or_default());
        let fields = query.get_all("field").iter().filter_map(|field| field.split_once(':'));
        let fields: Vec<(&str, &str)> = fields.collect();
        match start_response.attempt(query.get("status").unwrap_or("200 OK"), &fields) {
            Err(error) => environ.errors().log(format!("start: {error:?}")),
            Ok(write) => {
                for chunk in query.get_all("chunk") {
                    environ.errors().log(format!("write: {:?}", write(chunk.as_bytes())));
                }
            }
        }
        Ok(())
    }
}
