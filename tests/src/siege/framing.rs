//! Checks that no body reaches another request than its own.
//!
//! Sends pipelined requests, most of them slightly malformed, to a handler that reports its request and its body.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use super::{Report, Scale, crowd, random::Random, wire};
use crate::server::Launch;

/// The timeout of one connection.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How many requests are sent on one connection.
const PIPELINED: usize = 4;

/// Sequences that parsers have disagreed about, to insert into the framing.
const ODD: [&str; 24] = [
    "\r",
    "\n",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "\n\r\n",
    "\r\r\n",
    " ",
    "\t",
    "\x0b",
    "\0",
    ":",
    ";",
    ",",
    "\"",
    "0",
    "00",
    "+",
    "0\r\n\r\n",
    "0\r\n\n",
    "1\r\n",
    "X: y\n\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
];

pub(super) fn lay(scale: Scale) -> Report {
    let mut report = Report::new("Framing", &["requests sent", "answered by a handler", "with a body"]);
    let server = Launch::program("tells_its_request").flags(["--access-log-format", "none"]).start();
    let connections = scale.of(100_000, 2_000) / PIPELINED;
    let seen = crowd::each(connections, 8, |connection| ask(server.addr(), connection));
    let unanswered = seen.iter().filter(|seen| seen.is_none()).count();
    let seen: Vec<Reported> = seen.into_iter().flatten().flatten().collect();
    let with_body = seen.iter().filter(|request| request.body.is_some()).count();
    let foreign = seen.iter().filter(|request| request.body.as_ref().is_some_and(|body| *body != request.head)).count();
    report.row(vec![(connections * PIPELINED).to_string(), seen.len().to_string(), with_body.to_string()]);
    report.count("requests with the body of another", 0, foreign as u64);
    report.count("connections that did not end in time", 0, unanswered as u64);
    report.count("runs in which no request had a body", 0, u64::from(with_body == 0));
    report
}

/// A request as a handler has seen it.
struct Reported {
    /// The name of the request in its head.
    head: String,
    /// The name at the start of its body.
    body: Option<String>,
}

fn ask(addr: SocketAddr, connection: usize) -> Option<Vec<Reported>> {
    let mut stream = wire::connect(addr, TIMEOUT).ok()?;
    let mut answers = Vec::new();
    // A server that refuses a request may close before it has read the rest.
    _ = stream.write_all(&pipeline(connection));
    _ = stream.shutdown(Shutdown::Write);
    stream.read_to_end(&mut answers).ok()?;
    let answers = String::from_utf8_lossy(&answers);
    let requests = answers.split("HTTP/1.1 200 OK\r\n").skip(1).filter_map(|answer| {
        let head = name_between(answer, "environ REQUEST_URI /", '\n')?;
        Some(Reported { head, body: answer.split_once("\nbody ").and_then(|(_, body)| name_between(body, "<", '>')) })
    });
    Some(requests.collect())
}

fn name_between(text: &str, begin: &str, end: char) -> Option<String> {
    let (_, rest) = text.split_once(begin)?;
    let (name, _) = rest.split_once(end)?;
    name.bytes().all(|byte| byte.is_ascii_lowercase()).then(|| name.to_owned())
}

/// A name for each request, of letters only, so that no change of the framing turns one name into another.
fn name(number: usize) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

/// Requests whose bodies start with the same names as their targets, with up to three changes.
fn pipeline(connection: usize) -> Vec<u8> {
    let mut random = Random::of(connection);
    // The upper half: the lower bits of xorshift repeat sooner.
    let mut below = |end: usize| (random.next() >> 32) as usize % end;
    let mut stream = String::new();
    for at in 0..PIPELINED {
        let name = name(connection * PIPELINED + at);
        let body = format!("<{name}>{}", "x".repeat(below(20)));
        let framed = match below(5) {
            // Twice as likely: without a body, the next request follows at once, so that a wrong length swallows it.
            0 | 1 => "Content-Length: 0\r\n\r\n".to_owned(),
            2 => format!("Content-Length: {}\r\n\r\n{body}", body.len()),
            3 => format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
            _ => format!("Transfer-Encoding: chunked\r\n\r\n{:x};a\r\n{body}\r\n0\r\nX-T: u\r\n\r\n", body.len()),
        };
        stream.push_str(&format!("POST /{name} HTTP/1.1\r\nHost: a\r\n{framed}"));
    }
    let mut stream = stream.into_bytes();
    for _ in 0..below(4) {
        let from = below(stream.len());
        let is_near = |byte: &u8| matches!(byte, b'\r' | b'\n' | b':' | b'0');
        // Names are not changed.
        let Some(at) = stream[from..].iter().position(is_near).map(|length| from + length) else { continue };
        match below(3) {
            0 => drop(stream.remove(at)),
            1 => stream.splice(at..(at + below(3)).min(stream.len()), ODD[below(ODD.len())].bytes()).for_each(drop),
            _ => stream.splice(at..at, ODD[below(ODD.len())].bytes()).for_each(drop),
        }
    }
    stream
}
