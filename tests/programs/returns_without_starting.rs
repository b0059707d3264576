//! Returns well, and has answered nothing; but not for `/fine`.

use wasmserve_guest::{Application, Environ, Result, StartResponse, handler};

handler!(Silent);

/// In the SDK's other forms the response is started or the handler fails.
struct Silent;

impl Application<()> for Silent {
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        if environ.path() == "/fine" {
            start_response("200 OK", &[])(b"fine")?;
        }
        Ok(())
    }
}
