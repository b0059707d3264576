//! Prints the response to `GET URL`, for command lines in tests, on any machine.

#![expect(clippy::print_stdout, reason = "printing is its purpose")]

use std::{
    env,
    io::{Error, Read as _, Write as _},
    net::TcpStream,
};

fn main() -> Result<(), Error> {
    let url = env::args().nth(1).ok_or_else(|| Error::other("missing argument: URL"))?;
    let rest = url.strip_prefix("http://").ok_or_else(|| Error::other("not a URL"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)?;
    stream.write_all(format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Error::other("the response has no head"))?;
    print!("{body}");
    if head.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(Error::other(head.to_owned())) }
}
