//! Reads the request's body to its end, and answers with its length and its trailers.
//!
//! For `/eager`, starts its response before it reads. For `/stubborn`, answers normally even if the body is incomplete.

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<String> {
    let write = start_response("200 OK", &[]);
    let path = environ.path();
    if path == "/eager" {
        // If the client has left by now, reading reports it.
        _ = write(b"reading\n");
    }
    let mut chunks = environ.input().chunks();
    let mut length = 0;
    let end = loop {
        match chunks.next() {
            Some(Ok(chunk)) => length += chunk.len(),
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    // Another read must return the same result.
    let again = match chunks.next() {
        None => Ok(()),
        Some(Ok(_)) => panic!("a chunk follows the end"),
        Some(Err(error)) => Err(error),
    };
    assert_eq!(format!("{end:?}"), format!("{again:?}"));
    if let Err(error) = end {
        environ.errors().log(format!("read failed after {length} octets: {error}"));
        if path != "/stubborn" {
            return Err(error.into());
        }
    }
    Ok(format!("{length} octets, trailers {:?}\n", environ.input().trailers()))
}
