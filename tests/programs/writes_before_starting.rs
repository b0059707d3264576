//! Writes before it starts its response, and returns normally after the refusal.

use wasmserve_guest::{Body, BodyWriter, Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, _start_response: StartResponse) -> Early {
    Early(environ)
}

struct Early(Environ);

impl Body<Early> for Early {
    fn send(self, mut writer: BodyWriter) -> Result<()> {
        let refused = writer.write(b"too early").expect_err("nothing was started");
        self.0.errors().log(format!("write: {refused}"));
        Ok(())
    }
}
