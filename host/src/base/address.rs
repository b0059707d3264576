//! Addresses to listen on, as users write them.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A host and a port to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name, or an IP address without brackets. A name is resolved when a socket is bound.
    pub host: String,
    /// The port; 0 for a free one.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// A part of an address, or both, as in `127.0.0.1:8000`, `localhost`, `[::1]:8000`, `::1`, `8000` or `:8000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartialAddress {
    /// The host, if it is given.
    pub host: Option<String>,
    /// The port, if it is given.
    pub port: Option<u16>,
    /// Whether the host is left out in front of a colon, which means all addresses in other programs.
    pub is_open: bool,
}

impl FromStr for PartialAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(match scheme {
                "http" => format!("write it without the scheme: {}", rest.trim_end_matches('/')),
                "https" => "TLS is not served; put a proxy in front, and write HOST:PORT".to_owned(),
                _ => format!("only TCP is served; {EXAMPLES}"),
            });
        }
        if text.starts_with("unix:") || text.contains('/') {
            return Err(format!("UNIX sockets are not served; {EXAMPLES}"));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            return Ok(Self { host: None, port: Some(port(text)?), is_open: false });
        }
        // Without brackets, an IPv6 address has no port.
        let (host, port) = match text.rsplit_once(':') {
            _ if is_ipv6(text) => (text, None),
            Some((host, text)) if !text.ends_with(']') => (host, Some(port(text)?)),
            _ => (text, None),
        };
        if text.starts_with('[') && !text.contains(']') {
            return Err("the bracket is not closed; write an IPv6 address with a port as in [::1]:8000".to_owned());
        }
        match host {
            "" if port.is_none() => Err(EXAMPLES.to_owned()),
            "" => Ok(Self { host: None, port, is_open: true }),
            host => Ok(Self { host: Some(self::host(host)?), port, is_open: false }),
        }
    }
}

const EXAMPLES: &str = "write HOST:PORT, HOST or PORT, as in 127.0.0.1:8000, localhost or 8000";

/// Parses a port.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a port is a number from 0 to 65535; 0 picks a free one".to_owned())
}

/// Parses a host: a name or an IP address, which may be in brackets.
pub(crate) fn host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match bare {
        Some(bare) if is_ipv6(bare) => Ok(bare.to_owned()),
        Some(_) => Err(format!("`{text}` is not an IPv6 address")),
        None if text == "*" => Err("write 0.0.0.0 for all IPv4 addresses, or :: for all addresses".to_owned()),
        None if is_ipv6(text) => Ok(text.to_owned()),
        None if is_like_ipv4(text) => {
            Err(format!("`{text}` is not an IPv4 address, which has four numbers from 0 to 255, as in 127.0.0.1"))
        }
        None if is_name(text) => Ok(text.to_owned()),
        None => Err(format!("`{text}` is neither a name nor an IP address")),
    }
}

/// Whether a text is an IPv6 address, perhaps with a scope, as in `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let (address, scope) = text.split_once('%').unwrap_or((text, "eth0"));
    address.parse::<Ipv6Addr>().is_ok() && is_name(scope)
}

/// Whether a text can only be meant as an IPv4 address, and is none. Shorter forms such as `127.1` are the resolver's.
fn is_like_ipv4(text: &str) -> bool {
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() >= 4 && text.split('.').all(is_number) && text.parse::<Ipv4Addr>().is_err()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_alphanumeric() || "-._".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<(Option<String>, Option<u16>), String> {
        text.parse().map(|PartialAddress { host, port, .. }| (host, port))
    }

    #[test]
    fn an_address_may_be_a_host_or_a_port_or_both() {
        for (text, host, port) in [
            ("127.0.0.1:8000", Some("127.0.0.1"), Some(8000)),
            ("9000", None, Some(9000)),
            ("0", None, Some(0)),
            (":9000", None, Some(9000)),
            ("localhost", Some("localhost"), None),
            ("localhost:0", Some("localhost"), Some(0)),
            ("my-host.example:80", Some("my-host.example"), Some(80)),
            ("0.0.0.0", Some("0.0.0.0"), None),
            ("::", Some("::"), None),
            ("::1", Some("::1"), None),
            ("[::1]", Some("::1"), None),
            ("[::1]:0", Some("::1"), Some(0)),
            ("[fe80::1%eth0]:80", Some("fe80::1%eth0"), Some(80)),
        ] {
            assert_eq!(parts(text), Ok((host.map(str::to_owned), port)), "{text}");
        }
    }

    #[test]
    fn a_wrong_address_is_refused_with_a_remedy() {
        for (text, remedy) in [
            ("", "write HOST:PORT"),
            (":", "from 0 to 65535"),
            ("localhost:", "from 0 to 65535"),
            ("localhost:http", "from 0 to 65535"),
            ("65536", "from 0 to 65535"),
            ("127.0.0.1:99999", "from 0 to 65535"),
            ("127.0.0.1:-1", "from 0 to 65535"),
            ("127.0.0.1:8000:9", "neither a name nor an IP address"),
            ("[::1", "the bracket is not closed"),
            ("[localhost]:80", "not an IPv6 address"),
            ("*:80", "write 0.0.0.0"),
            ("300.1.1.1:80", "`300.1.1.1` is not an IPv4 address, which has four numbers from 0 to 255"),
            ("1.2.3.4.5", "not an IPv4 address"),
            ("127.0.0.1.:80", "not an IPv4 address"),
            ("a b:80", "neither a name"),
            ("http://localhost:8000", "without the scheme: localhost:8000"),
            ("http://localhost:8000/", "without the scheme: localhost:8000"),
            ("https://localhost", "TLS is not served"),
            ("tcp://localhost:80", "only TCP"),
            ("unix:/run/x.sock", "UNIX sockets are not served"),
            ("/run/x.sock", "UNIX sockets are not served"),
        ] {
            let error = parts(text).expect_err(text);
            assert!(error.contains(remedy), "{text}: {error}");
        }
    }

    #[test]
    fn brackets_surround_ipv6_addresses_with_a_port() {
        for (host, shown) in [("::1", "[::1]:80"), ("127.0.0.1", "127.0.0.1:80"), ("localhost", "localhost:80")] {
            assert_eq!(Address { host: host.into(), port: 80 }.to_string(), shown);
        }
    }
}
