//! Tells its request, one thing a line: the environ, the header lines, the head's octets, the body and the trailers. In
//! values a backslash and all that is not printable ASCII are escaped, so that no two requests are told alike. Below
//! `/unread` the body is left alone. Each time it says in the log that it was there.

use std::fmt::Write as _;

use wasmserve_guest::{Environ, Result, StartResponse, handler};

handler!(app);

fn app(environ: Environ, start_response: StartResponse) -> Result<String> {
    environ.errors().log("handled");
    let mut text = String::new();
    for (kind, fields) in [("environ", environ.copy_all()), ("header", environ.headers())] {
        for (name, value) in fields {
            writeln!(text, "{kind} {name} {}", escape(&value))?;
        }
    }
    writeln!(text, "raw-head {}", escape(&environ.raw_head()))?;
    if !environ.path().starts_with(b"/unread") {
        let body = environ.input().read_all(1 << 20)?;
        writeln!(text, "body {}", escape(&body))?;
        for (name, value) in environ.input().trailers() {
            writeln!(text, "trailer {name} {}", escape(&value))?;
        }
    }
    start_response("200 OK", &[("Content-Type", "text/plain")]);
    Ok(text)
}

fn escape(octets: &[u8]) -> String {
    let escape = |octet: &u8| match octet {
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(*octet).to_string(),
        _ => format!("\\x{octet:02x}"),
    };
    octets.iter().map(escape).collect()
}
