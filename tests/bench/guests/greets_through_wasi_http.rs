//! Hello, World! through `wasi:http`, for `wasmtime serve`: the same response as `examples/hello.rs`.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Greeter;

wasip2::http::proxy::export!(Greeter);

impl wasip2::exports::http::incoming_handler::Guest for Greeter {
    fn handle(_request: IncomingRequest, outparam: ResponseOutparam) {
        let data = b"Hello, World!\n";
        let fields = Fields::new();
        let length = data.len().to_string();
        for (name, value) in [("content-type", b"text/plain".as_slice()), ("content-length", length.as_bytes())] {
            _ = fields.set(name, &[value.to_vec()]);
        }
        let response = OutgoingResponse::new(fields);
        let body = response.body().expect("the body was not taken before");
        ResponseOutparam::set(outparam, Ok(response));
        let stream = body.write().expect("the stream was not taken before");
        _ = stream.blocking_write_and_flush(data);
        drop(stream);
        _ = OutgoingBody::finish(body, None);
    }
}

fn main() {}
