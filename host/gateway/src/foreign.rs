//! Names other protocols by the first bytes of their clients, so that a refusal says what to change.

/// What a client speaks instead of HTTP/1, and the remedy; `None` if the first bytes do not show it.
///
/// The bytes may be incomplete: then they may have no name yet, but never a wrong one. All that are named contain a byte
/// that no request has, or a line that is no request line.
#[must_use]
pub fn name(first: &[u8]) -> Option<&'static str> {
    // Empty lines before a request are ignored, and the PROXY protocol begins with two.
    let line = first.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).map_or(&b""[..], |start| &first[start..]);
    Some(match line {
        // A handshake record (RFC 8446 section 5.1).
        [0x16] | [0x16, 3, ..] => "this client speaks TLS; use http:// instead of https://",
        [b'S', b'S', b'H', b'-', ..] => "this client speaks SSH; this is an HTTP server",
        [b'P', b'R', b'O', b'X', b'Y', b' ', b'T' | b'U', ..] | [0, b'\r', b'\n', b'Q', ..] => {
            "this proxy sends the PROXY protocol, which is not supported; turn it off, and use X-Forwarded-For"
        }
        // RFC 1928 section 3 and its predecessor.
        [5, methods, rest @ ..] if *methods > 0 && rest.len() == usize::from(*methods) => SOCKS,
        [4, 1 | 2, _, _, _, _, _, _, ..] => SOCKS,
        [0, 0, _, _, 0xfe | 0xff, b'S', b'M', b'B', ..] => "this client speaks SMB; this is an HTTP server",
        [3, 0, 0, _, _, 0xe0, ..] => "this client speaks RDP; this is an HTTP server",
        _ => return None,
    })
}

const SOCKS: &str = "this client speaks SOCKS; this is an HTTP server, not a proxy";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_are_named_by_their_first_bytes() {
        for (first, expected) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "TLS"),
            (b"\x16", "TLS"),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", "SSH"),
            (b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\nGET / HTTP/1.1\r\n", "PROXY"),
            (b"PROXY UNKNOWN\r\n", "PROXY"),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", "PROXY"),
            (b"\x05\x02\x00\x02", "SOCKS"),
            (b"\x04\x01\x00\x50\xc0\x00\x02\x07\0", "SOCKS"),
            (b"\0\0\0\x90\xfeSMB@\0", "SMB"),
            (b"\x03\0\0\x13\x0e\xe0\0\0", "RDP"),
        ] {
            assert!(name(first).is_some_and(|name| name.contains(expected)), "{}", first.escape_ascii());
        }
        for first in [
            &b""[..],
            b"\r\n",
            b"GET / HTTP/1.1\r\n",
            b"PROXY / HTTP/1.1\r\n",
            b"SSH / HTTP/1.1\r\n",
            b"\x16\x02",
            b"\x05",
            b"\0\r",
        ] {
            assert_eq!(name(first), None, "{}", first.escape_ascii());
        }
    }
}
