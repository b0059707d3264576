//! Answers with a report of its request as a handler of `wasi:http` 0.2 sees it. See `tells_its_request`.
#![expect(clippy::print_stdout, reason = "its host logs what it prints")]

use wasip2::{
    http::types::{
        ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
        Scheme,
    },
    io::streams::StreamError,
};
use wasmserve_test_programs::report::{HttpRequest, Report};

struct Teller;

wasip2::http::proxy::export!(Teller);

impl wasip2::exports::http::incoming_handler::Guest for Teller {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        println!("handled");
        match report(&request) {
            Ok(report) => send(outparam, &report),
            Err(why) => ResponseOutparam::set(outparam, Err(ErrorCode::InternalError(Some(why)))),
        }
    }
}

fn report(request: &IncomingRequest) -> Result<String, String> {
    let mut report = Report::default();
    let method = match request.method() {
        Method::Other(name) => name,
        known => format!("{known:?}"),
    };
    let target = request.path_with_query().unwrap_or_default();
    let is_readable = !target.starts_with("/unread");
    let authority = request.authority().unwrap_or_default();
    let is_https = matches!(request.scheme(), Some(Scheme::Https));
    let fields = request.headers().entries();
    HttpRequest { method, target, authority, is_https, fields }.report(&mut report);
    if is_readable {
        let body = request.consume().map_err(|()| "the body was taken before")?;
        let stream = body.stream().map_err(|()| "the stream was taken before")?;
        let mut whole = Vec::new();
        loop {
            match stream.blocking_read(1 << 16) {
                Ok(part) => whole.extend(part),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
            }
        }
        report.single("body", &whole);
        drop(stream);
        let trailers = IncomingBody::finish(body);
        trailers.subscribe().block();
        if let Some(Ok(Ok(Some(trailers)))) = trailers.get() {
            for (name, value) in trailers.entries() {
                report.named("trailer", &name, &value);
            }
        }
    }
    Ok(report.into_text())
}

fn send(outparam: ResponseOutparam, text: &str) {
    let length = text.len().to_string().into_bytes();
    let fields = [("content-type".to_owned(), b"text/plain".to_vec()), ("content-length".to_owned(), length)];
    let fields = Fields::from_list(&fields).expect("the fields are allowed");
    let response = OutgoingResponse::new(fields);
    let body = response.body().expect("the body was not taken before");
    ResponseOutparam::set(outparam, Ok(response));
    let stream = body.write().expect("the stream was not taken before");
    for part in text.as_bytes().chunks(4096) {
        stream.blocking_write_and_flush(part).expect("the client is there");
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("there is no declared length");
}

fn main() {}
