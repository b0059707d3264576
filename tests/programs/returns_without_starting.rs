//! Returns without an error and without a response, except for `/fine`.

use wasmserve_guest::{Application, Environ, Result, StartResponse, handler};

handler!(Silent);

/// A type, because the SDK's other forms start the response or fail.
struct Silent;

impl Application<()> for Silent {
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        if environ.path() == "/fine" {
            start_response("200 OK", &[])(b"fine")?;
        }
        Ok(())
    }
}
