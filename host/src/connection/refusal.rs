//! An answer that is written without hyper: to a head that it could not parse, and to which it would say nothing but a
//! status (rules X5, T12).

use http::{HeaderName, response::Parts};
use http_body_util::BodyExt as _;
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};

use crate::exchange::Reply;

/// The octets of an answer.
pub(super) async fn octets(response: http::Response<Reply>) -> Vec<u8> {
    let (parts, body) = response.into_parts();
    // All of the host's own answers are there at once, and whole.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut octets = head(&parts);
    octets.extend_from_slice(&body);
    octets
}

fn head(parts: &Parts) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        head.extend_from_slice(title_case(name).as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()) {
        head.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// `content-length` as hyper would write it (rule S15).
fn title_case(name: &HeaderName) -> String {
    let mut is_first = true;
    let upper = |char: char| {
        let char = if is_first { char.to_ascii_uppercase() } else { char };
        is_first = char == '-';
        char
    };
    name.as_str().chars().map(upper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s15_names_are_in_title_case() {
        let (parts, ()) = http::Response::builder()
            .status(431)
            .header("wasmserve-fault", "refused")
            .header("connection", "close")
            .body(())
            .expect("it is well-formed")
            .into_parts();
        let head = String::from_utf8(head(&parts)).expect("ASCII");
        assert!(
            head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\nWasmserve-Fault: refused\r\nConnection: close\r\nDate: "),
            "{head}"
        );
        assert!(head.ends_with(" GMT\r\n\r\n"), "{head}");
    }
}
