//! The client and scheme that a trusted proxy reports (rule H11).

use std::net::IpAddr;

use crate::{refusal::Refusal, request::RequestHead};

/// What a trusted proxy reports in place of the connection's own facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Whether the client used TLS to the proxy; `None` if the proxy does not report it.
    pub is_https: Option<bool>,
}

/// Reads `X-Forwarded-For` and `X-Forwarded-Proto` if the request comes from a proxy in `trusted`; otherwise they are
/// ordinary header fields.
///
/// # Errors
///
/// A trusted proxy sent contradictory fields, so none of them can be relied on.
pub fn read(head: &RequestHead, peer: IpAddr, trusted: &[IpAddr]) -> Result<Forwarded, Refusal> {
    let is_trusted = |addr: &IpAddr| trusted.contains(&addr.to_canonical());
    if !is_trusted(&peer) {
        return Ok(Forwarded::default());
    }
    // Each proxy appends the address it sees; the rightmost one that is not a trusted proxy is the client.
    let hops: Vec<&[u8]> = head.values("x-forwarded-for").flat_map(|value| value.split(|byte| *byte == b',')).collect();
    let client = hops.iter().rev().map_while(|hop| address(hop)).find(|addr| !is_trusted(addr));

    let mut schemes = head.values("x-forwarded-proto").map(<[u8]>::trim_ascii);
    let is_https = match schemes.next() {
        None => None,
        Some(first) if schemes.all(|other| other.eq_ignore_ascii_case(first)) => match first {
            scheme if scheme.eq_ignore_ascii_case(b"https") => Some(true),
            scheme if scheme.eq_ignore_ascii_case(b"http") => Some(false),
            _ => None,
        },
        Some(_) => return Err(Refusal::new(400, "the X-Forwarded-Proto fields contradict each other")),
    };
    Ok(Forwarded { client, is_https })
}

/// Parses `192.0.2.7`, `192.0.2.7:5000`, `2001:db8::7` or `[2001:db8::7]:5000`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let addr = match text.parse::<IpAddr>() {
        Ok(addr) => addr,
        Err(_) => text.parse::<std::net::SocketAddr>().ok()?.ip(),
    };
    Some(addr.to_canonical())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn forwarded(peer: &str, fields: &str) -> Result<(Option<String>, Option<bool>), u16> {
        let head = RequestHead::new(Bytes::from(format!("GET / HTTP/1.1\r\n{fields}\r\n")));
        let trusted = ["127.0.0.1", "10.0.0.1"].map(|addr| addr.parse().expect("valid"));
        let read = read(&head, peer.parse().expect("valid"), &trusted).map_err(|refusal| refusal.status())?;
        Ok((read.client.map(|addr| addr.to_string()), read.is_https))
    }

    #[test]
    fn h11_only_a_trusted_proxy_is_believed() {
        let both = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
        assert_eq!(forwarded("192.0.2.1", both), Ok((None, None)));
        assert_eq!(forwarded("127.0.0.1", both), Ok((Some("192.0.2.7".into()), Some(true))));
        assert_eq!(forwarded("::ffff:127.0.0.1", both), Ok((Some("192.0.2.7".into()), Some(true))));
        assert_eq!(forwarded("127.0.0.1", ""), Ok((None, None)));
    }

    #[test]
    fn h11_the_client_is_the_last_hop_that_is_not_a_trusted_proxy() {
        let hops = "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-For: 10.0.0.1\r\n";
        assert_eq!(forwarded("127.0.0.1", hops), Ok((Some("192.0.2.7".into()), None)));
        assert_eq!(forwarded("127.0.0.1", "X-Forwarded-For: 192.0.2.7, junk\r\n"), Ok((None, None)));
        let v6 = "X-Forwarded-For: [2001:db8::7]:5000\r\n";
        assert_eq!(forwarded("127.0.0.1", v6), Ok((Some("2001:db8::7".into()), None)));
    }

    #[test]
    fn h11_contradicting_schemes_are_refused() {
        let twice = "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n";
        assert_eq!(forwarded("127.0.0.1", twice), Err(400));
        assert_eq!(forwarded("192.0.2.1", twice), Ok((None, None)));
        assert_eq!(forwarded("127.0.0.1", "X-Forwarded-Proto: HTTP\r\n"), Ok((None, Some(false))));
    }
}
