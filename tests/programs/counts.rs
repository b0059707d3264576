//! Counts its requests, and answers with the count and the path of the previous request.

use std::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering},
};

use wasmserve_guest::{Environ, Result, handler};

handler!(app);

static COUNT: AtomicU32 = AtomicU32::new(0);
static LAST: Mutex<Option<String>> = Mutex::new(None);

fn app(environ: Environ) -> Result<String> {
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let last = LAST.lock()?.replace(environ.path().to_owned());
    Ok(format!("{count} {last:?}"))
}
