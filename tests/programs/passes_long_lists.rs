//! Starts its response with half a million fields, and passes a log line of 16 MiB.

use wasmserve_guest::{Application, Environ, Result, StartResponse, handler};

handler!(Generous);

/// A type, because the result of a function would be sent as well.
struct Generous;

impl Application<()> for Generous {
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        environ.errors().log(vec![b'x'; 16 << 20]);
        let fields = vec![("A", "b"); 500_000];
        match start_response.attempt("200 OK", &fields) {
            Ok(_) => environ.errors().log("they were taken"),
            Err(error) => environ.errors().log(format!("start: {error:?}")),
        }
        Ok(())
    }
}
