//! Answers with a report of its request as a handler of `wasi:http` 0.3 sees it. See `tells_its_request`.
#![expect(clippy::print_stdout, reason = "its host logs what it prints")]

use wasip3::{
    http::types::{ErrorCode, Fields, Method, Request, Response, Scheme},
    wit_bindgen::spawn_local,
    wit_future, wit_stream,
};
use wasmserve_test_programs::report::{HttpRequest, Report};

struct Teller;

wasip3::http::service::export!(Teller);

impl wasip3::exports::http::handler::Guest for Teller {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        println!("handled");
        let report = report(request).await?;
        let length = report.len().to_string().into_bytes();
        let fields = [("content-type".to_owned(), b"text/plain".to_vec()), ("content-length".to_owned(), length)];
        let fields = Fields::from_list(&fields).expect("the fields are allowed");
        let (mut body, contents) = wit_stream::new();
        spawn_local(async move {
            _ = body.write_all(report.into_bytes()).await;
        });
        Ok(Response::new(fields, Some(contents), wit_future::new(|| Ok(None)).1).0)
    }
}

async fn report(request: Request) -> Result<String, ErrorCode> {
    let mut report = Report::default();
    let method = match request.get_method() {
        Method::Other(name) => name,
        known => format!("{known:?}"),
    };
    let target = request.get_path_with_query().unwrap_or_default();
    let is_readable = !target.starts_with("/unread");
    let authority = request.get_authority().unwrap_or_default();
    let is_https = matches!(request.get_scheme(), Some(Scheme::Https));
    let fields = request.get_headers().copy_all();
    HttpRequest { method, target, authority, is_https, fields }.report(&mut report);
    if is_readable {
        let (body, trailers) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
        report.single("body", &body.collect().await);
        for (name, value) in trailers.await?.map(|trailers| trailers.copy_all()).unwrap_or_default() {
            report.named("trailer", &name, &value);
        }
    }
    Ok(report.into_text())
}

fn main() {}
