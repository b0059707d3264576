//! Hello, World! as a WSGI application.
//!
//! Try it: `curl -i http://127.0.0.1:8000/`

use wasmserve_guest::{Environ, StartResponse, handler};

handler!(app);

/// Called once per request, each time in a fresh instance: what it keeps in a `static` is gone in the next request.
/// `environ` is the request: `environ.path()` is its path, `environ.input()` its body.
fn app(_environ: Environ, start_response: StartResponse) -> impl Iterator<Item = &'static [u8]> {
    let data = b"Hello, World!\n";
    start_response("200 OK", &[("Content-Type", "text/plain"), ("Content-Length", &data.len().to_string())]);
    [&data[..]].into_iter()
}

#[cfg(test)]
mod tests {
    use wasmserve_guest::{testing::call, validator};

    use super::*;

    #[test]
    fn hello_obeys_the_contract() {
        let answer = call(validator(app), Environ::for_test([]));
        assert_eq!(answer.body, b"Hello, World!\n");
        assert!(answer.log.is_empty());
    }
}
