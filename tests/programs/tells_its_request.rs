//! Answers with a report of its request, one item per line.
//!
//! The report has the environ, the header lines, the bytes of the head, the body and the trailers. Values escape the
//! backslash and everything but printable ASCII, so that different requests have different reports. Does not read the
//! body below `/unread`. Logs a line for each request.

use std::fmt::Write as _;

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<String> {
    environ.errors().log("handled");
    let mut text = String::new();
    for (kind, fields) in [("environ", environ.copy_all()), ("header", environ.headers())] {
        for (name, value) in fields {
            writeln!(text, "{kind} {name} {}", escape(value.as_bytes()))?;
        }
    }
    writeln!(text, "raw-head {}", escape(&environ.raw_head()))?;
    if !environ.path().starts_with("/unread") {
        let body = environ.input().read_all(1 << 20)?;
        writeln!(text, "body {}", escape(&body))?;
        for (name, value) in environ.input().trailers() {
            writeln!(text, "trailer {name} {}", escape(value.as_bytes()))?;
        }
    }
    start_response("200 OK", &[("Content-Type", "text/plain")]);
    Ok(text)
}

fn escape(bytes: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(escape).collect()
}
