//! Sends `n` numbered lines, and waits `ms` milliseconds before each.
//!
//! Both numbers are in the query.

use std::{thread, time::Duration};

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<()> {
    let query = environ.query();
    let count: u32 = query.get("n").unwrap_or("10").parse()?;
    let pause = Duration::from_millis(query.get("ms").unwrap_or("20").parse()?);
    let write = start_response("200 OK", &[("Content-Type", "text/plain")]);
    for number in 1..=count {
        thread::sleep(pause);
        write(format!("line {number} of {count}\n").as_bytes())?;
    }
    Ok(())
}
