//! One request on its own connection.
//!
//! Whatever the server does is a result, not a panic.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The result of a request.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The status code.
    pub(super) status: u16,
    /// The field in which the server names a fault.
    pub(super) fault: Option<String>,
    /// Whether the response says when to try again.
    pub(super) says_when: bool,
    /// The body without its framing, up to a limit.
    pub(super) body: Vec<u8>,
    /// Whether the body ended as its framing announced.
    pub(super) is_whole: bool,
}

/// A GET whose connection is closed after the response.
pub(super) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: siege\r\nConnection: close\r\n\r\n").into_bytes()
}

/// A POST with a body of this many bytes.
pub(super) fn post(target: &str, length: usize) -> Vec<u8> {
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: siege\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

/// Connects, with this timeout for each step.
pub(super) fn connect(addr: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request, and receives the response.
///
/// # Errors
///
/// No connection, no response, or a step exceeds the timeout.
pub(super) fn ask(addr: SocketAddr, request: &[u8], timeout: Duration) -> io::Result<Seen> {
    let mut stream = connect(addr, timeout)?;
    // A server that responds early may close before it has read all of the request.
    _ = stream.write_all(request);
    receive(&mut stream)
}

/// Receives a response until the connection ends.
///
/// # Errors
///
/// There is no response, or the connection does not end.
pub(super) fn receive(stream: &mut TcpStream) -> io::Result<Seen> {
    /// No test looks at a longer body.
    const KEPT: usize = 1 << 20;
    let mut bytes = Vec::new();
    let mut part = vec![0; 64 << 10];
    let mut is_all_kept = true;
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) if bytes.len() < KEPT => bytes.extend_from_slice(&part[..read]),
            Ok(_) => is_all_kept = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
            Err(error) => return Err(error),
        }
    }
    let mut seen = parse(&bytes).ok_or(ErrorKind::UnexpectedEof)?;
    seen.is_whole &= is_all_kept;
    Ok(seen)
}

/// Parses a response, whose end may be missing. Returns `None` if the head is incomplete.
fn parse(bytes: &[u8]) -> Option<Seen> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = str::from_utf8(&bytes[..end]).ok()?;
    let rest = &bytes[end + 4..];
    let field = |name: &str| {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let (body, is_whole) = match (field("content-length"), field("transfer-encoding")) {
        (Some(length), None) => (rest.to_vec(), length.parse() == Ok(rest.len())),
        (None, Some("chunked")) => unchunk(rest),
        (None, None) => (rest.to_vec(), rest.is_empty() && matches!(status, 204 | 304)),
        _ => return None,
    };
    let (fault, says_when) = (field("wasmserve-fault").map(str::to_owned), field("retry-after").is_some());
    Some(Seen { status, fault, says_when, body, is_whole })
}

/// Decodes chunks. Returns their bytes, and whether the last one is there.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return (body, false) };
        let size = str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        rest = &rest[end + 2..];
        match size {
            None => return (body, false),
            Some(0) => return (body, rest == b"\r\n"),
            Some(size) => {
                body.extend_from_slice(&rest[..size.min(rest.len())]);
                match rest.get(size..).and_then(|rest| rest.strip_prefix(b"\r\n")) {
                    Some(behind) => rest = behind,
                    None => return (body, false),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_response_is_not_complete() {
        let whole = |text: &str| parse(text.as_bytes()).map(|seen| seen.is_whole);
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(whole(chunks), Some(true));
        assert!((1..chunks.len()).all(|end| whole(&chunks[..end]) != Some(true)));
        let length = "HTTP/1.1 500 No\r\nContent-Length: 3\r\nWasmserve-Fault: trap\r\n\r\nabc";
        assert_eq!(whole(length), Some(true));
        assert!((1..length.len()).all(|end| whole(&length[..end]) != Some(true)));
        let seen = parse(length.as_bytes()).expect("it is a response");
        assert_eq!((seen.status, seen.fault.as_deref(), &*seen.body), (500, Some("trap"), &b"abc"[..]));
    }
}
