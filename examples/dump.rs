//! Logs the exact bytes of the request and sends them back, to show what a client really sends. The one exception is a
//! chunked body, which arrives without its chunk sizes.
//!
//! Try it: `curl -X POST -d abc=def http://127.0.0.1:8000/`

use std::{io, iter};

use wasmserve_guest::{Environ, handler};

handler!(app);

type Headers = [(&'static str, &'static str); 1];

fn app(environ: Environ) -> (u16, Headers, impl Iterator<Item = io::Result<Vec<u8>>>) {
    let head = iter::once(Ok(environ.raw_head()));
    let request = head.chain(environ.input().chunks());
    let logged = request.inspect(move |bytes| {
        if let Ok(bytes) = bytes {
            environ.errors().log(bytes);
        }
    });
    (200, [("Content-Type", "text/plain")], logged)
}

#[cfg(test)]
mod tests {
    use wasmserve_guest::{testing::call, validator};

    use super::*;

    #[test]
    fn the_response_and_the_log_are_the_request() {
        let environ = Environ::for_test([]).with_raw_head("POST / HTTP/1.1\r\nhOsT: x\r\n\r\n").with_input(b"abc=\xff");
        let answer = call(validator(app), environ);
        assert_eq!(answer.body, b"POST / HTTP/1.1\r\nhOsT: x\r\n\r\nabc=\xff");
        assert_eq!(answer.log.join("\n"), "POST / HTTP/1.1\r\nhOsT: x\r\n\r\nabc=\u{fffd}");
    }
}
