//! Answers with a report of its request, one item per line.
//!
//! The report has the environ, the header lines, the bytes of the head, the body and the trailers. Does not read the body
//! below `/unread`. Logs a line for each request. `tells_its_request_in_*` do the same in the words of other kinds.

use wasmserve_guest::{Environ, Result, StartResponse, handler};
use wasmserve_test_programs::report::Report;

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<String> {
    environ.errors().log("handled");
    let mut report = Report::default();
    for (kind, fields) in [("environ", environ.copy_all()), ("header", environ.headers())] {
        for (name, value) in fields {
            report.named(kind, &name, value.as_bytes());
        }
    }
    report.single("raw-head", &environ.raw_head());
    if !environ.path().starts_with("/unread") {
        report.single("body", &environ.input().read_all(1 << 20)?);
        for (name, value) in environ.input().trailers() {
            report.named("trailer", &name, value.as_bytes());
        }
    }
    start_response("200 OK", &[("Content-Type", "text/plain")]);
    Ok(report.into_text())
}
