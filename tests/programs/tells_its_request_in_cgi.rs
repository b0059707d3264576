//! Answers with a report of its request as a CGI program sees it: the environment, and the body. See `tells_its_request`.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "its host logs what it prints")]

use std::{
    env,
    io::{self, Read as _},
};

use wasmserve_test_programs::report::Report;

fn main() -> io::Result<()> {
    eprintln!("handled");
    let mut report = Report::default();
    for (name, value) in env::vars_os() {
        report.named("environ", &name.to_string_lossy(), value.as_encoded_bytes());
    }
    if !env::var("PATH_INFO").is_ok_and(|path| path.starts_with("/unread")) {
        let mut body = Vec::new();
        io::stdin().take(1 << 20).read_to_end(&mut body)?;
        report.single("body", &body);
    }
    let text = report.into_text();
    print!("Content-Type: text/plain\nContent-Length: {}\n\n{text}", text.len());
    Ok(())
}
