//! One request on a connection of its own, for which everything that a server does is a result.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The status code.
    pub(super) status: u16,
    /// The field by which the server names a fault.
    pub(super) fault: Option<String>,
    /// Whether it says when to try again.
    pub(super) says_when: bool,
    /// What came of the body, without its framing; only so much of it as is kept.
    pub(super) body: Vec<u8>,
    /// Whether the body ended as its framing says.
    pub(super) is_whole: bool,
}

/// A GET whose connection is closed after it.
pub(super) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: siege\r\nConnection: close\r\n\r\n").into_bytes()
}

/// A POST with a body of that many octets.
pub(super) fn post(target: &str, length: usize) -> Vec<u8> {
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: siege\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

/// Connects, with that much patience for each step.
pub(super) fn connect(addr: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request and takes what comes back.
///
/// # Errors
///
/// No connection, no response, or a step that takes longer than that.
pub(super) fn ask(addr: SocketAddr, request: &[u8], patience: Duration) -> io::Result<Seen> {
    let mut stream = connect(addr, patience)?;
    // A server that answers early may close before it has all of the request.
    _ = stream.write_all(request);
    receive(&mut stream)
}

/// Takes a response up to the end of its connection.
///
/// # Errors
///
/// There is none, or the connection does not end.
pub(super) fn receive(stream: &mut TcpStream) -> io::Result<Seen> {
    /// A body that goes on after that is none that has to be looked at.
    const KEPT: usize = 1 << 20;
    let mut octets = Vec::new();
    let mut part = vec![0; 64 << 10];
    let mut is_all_kept = true;
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) if octets.len() < KEPT => octets.extend_from_slice(&part[..read]),
            Ok(_) => is_all_kept = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
            Err(error) => return Err(error),
        }
    }
    let mut seen = parse(&octets).ok_or(ErrorKind::UnexpectedEof)?;
    seen.is_whole &= is_all_kept;
    Ok(seen)
}

/// Reads a response, of which nothing or the end may be missing; `None` if not even the head is whole.
fn parse(octets: &[u8]) -> Option<Seen> {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = str::from_utf8(&octets[..end]).ok()?;
    let rest = &octets[end + 4..];
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

/// The octets of chunks, and whether the last one is there.
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
    fn a_response_that_was_cut_is_not_whole() {
        let whole = |octets: &str| parse(octets.as_bytes()).map(|seen| seen.is_whole);
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
