//! Sends the request body back while it arrives, chunk by chunk. Memory use is constant, whatever the size of the body.
//!
//! Try it: `curl -T big.iso http://127.0.0.1:8000/ | cmp - big.iso`

use wasmserve_guest::{Environ, Response, handler};

handler!(app);

fn app(environ: Environ) -> Response {
    let content_type = environ.get("CONTENT_TYPE");
    let headers = content_type.map(|value| ("Content-Type", value));
    Response::new(200, headers, environ.input().chunks())
}

#[cfg(test)]
mod tests {
    use wasmserve_guest::{testing::call, validator};

    use super::*;

    #[test]
    fn the_body_comes_back_with_its_type() {
        let environ = Environ::for_test([("CONTENT_TYPE", "image/png")]).with_input(b"\x89PNG");
        let answer = call(validator(app), environ);
        assert_eq!(answer.body, b"\x89PNG");
        assert_eq!(answer.header("Content-Type").unwrap(), &"image/png");
        assert!(answer.log.is_empty());
    }
}
