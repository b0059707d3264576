//! Sends blocks of 64 KiB, where block N repeats the byte N.
//!
//! The query may say how many (`blocks`). Otherwise sends until the client leaves, which it logs.

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

const BLOCK: usize = 64 << 10;

fn app(environ: Environ, start_response: StartResponse) -> Result<()> {
    let blocks: u64 = environ.query().get("blocks").map_or(Ok(u64::MAX), str::parse)?;
    let write = start_response("200 OK", &[("Content-Type", "application/octet-stream")]);
    for number in 0..blocks {
        let block = number.to_le_bytes().repeat(BLOCK / size_of::<u64>());
        if let Err(error) = write(&block) {
            environ.errors().log(format!("sent less than asked for: {error}"));
            return Err(error.into());
        }
    }
    Ok(())
}
