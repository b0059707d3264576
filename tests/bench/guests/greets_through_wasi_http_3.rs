//! The same as `greets_through_wasi_http`, in WASI 0.3.
//!
//! For `wasmtime serve`, which reuses such an instance for many requests.

use wasip3::{
    http::types::{ErrorCode, Fields, Request, Response},
    wit_bindgen, wit_future, wit_stream,
};

struct Greeter;

wasip3::http::service::export!(Greeter);

impl wasip3::exports::http::handler::Guest for Greeter {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let data = b"Hello, World!\n";
        let fields = Fields::new();
        let length = data.len().to_string();
        for (name, value) in [("content-type", b"text/plain".as_slice()), ("content-length", length.as_bytes())] {
            _ = fields.set(name, &[value.to_vec()]);
        }
        let (mut body, contents) = wit_stream::new();
        let (trailers, no_trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(fields, Some(contents), no_trailers);
        drop(trailers);
        wit_bindgen::spawn_local(async move {
            _ = body.write_all(data.to_vec()).await;
        });
        Ok(response)
    }
}

fn main() {}
