//! The client and scheme that a trusted proxy reports (rule H11).

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use crate::{field, refusal::Refusal, request::RequestHead};

/// What a trusted proxy reports in place of the connection's own facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Whether the client used TLS to the proxy; `None` if the proxy does not report it.
    pub is_https: Option<bool>,
}

/// The addresses of proxies: those whose first bits are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxies {
    /// All addresses of a network, such as `172.16.0.0/12`, or a single one, such as `::1`.
    Network {
        /// An address of the network. An IPv4 address is never in its IPv6 form.
        addr: IpAddr,
        /// How many of its bits all addresses of the network have in common.
        bits: u8,
    },
    /// All addresses, written `*`.
    All,
}

impl Proxies {
    /// Whether this is one of the addresses.
    fn contain(&self, other: IpAddr) -> bool {
        let Self::Network { addr, bits } = *self else { return true };
        // The bits in which they differ, from the left.
        let difference = match (addr, other.to_canonical()) {
            (IpAddr::V4(addr), IpAddr::V4(other)) => u128::from(addr.to_bits() ^ other.to_bits()) << 96,
            (IpAddr::V6(addr), IpAddr::V6(other)) => addr.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        difference.leading_zeros() >= u32::from(bits)
    }

    /// Whether this address is named, and no other.
    fn are_only(&self, addr: IpAddr) -> bool {
        *self == Self::from(addr)
    }
}

impl From<IpAddr> for Proxies {
    fn from(addr: IpAddr) -> Self {
        let addr = addr.to_canonical();
        Self::Network { addr, bits: if addr.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Proxies {
    type Err = &'static str;

    /// Parses `*`, an address, or a network, with white space around it. The bits of a network's address beyond its
    /// prefix have no meaning.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HELP: &str = "write IP addresses or networks, as in 127.0.0.1,10.0.0.0/8, or *";
        let text = text.trim();
        if text == "*" {
            return Ok(Self::All);
        }
        let (addr, bits) = text.split_once('/').map_or((text, None), |(addr, bits)| (addr, Some(bits)));
        let addr: IpAddr = addr.parse().map_err(|_| HELP)?;
        let Some(bits) = bits else { return Ok(addr.into()) };
        let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = bits.parse().ok().filter(|_| is_number).ok_or(HELP)?;
        match (addr, addr.to_canonical()) {
            (IpAddr::V4(_), addr) if bits <= 32 => Ok(Self::Network { addr, bits }),
            // A socket for both versions reports IPv4 addresses in this form.
            (IpAddr::V6(_), addr @ IpAddr::V4(_)) if (96..=128).contains(&bits) => {
                Ok(Self::Network { addr, bits: bits - 96 })
            }
            (IpAddr::V6(_), _) if bits <= 128 => Ok(Self::Network { addr, bits }),
            _ => Err(HELP),
        }
    }
}

/// Reads `X-Forwarded-For` and `X-Forwarded-Proto` if the request comes from a proxy in `trusted`; otherwise they are
/// ordinary header fields. Both are lists: a field with several elements is the same as several fields.
///
/// # Errors
///
/// A trusted proxy sent contradictory fields, so none of them can be relied on.
pub fn read(head: &RequestHead, peer: IpAddr, trusted: &[Proxies]) -> Result<Forwarded, Refusal> {
    let is_trusted = |addr: &IpAddr| trusted.iter().any(|proxies| proxies.contain(*addr));
    if !is_trusted(&peer) {
        return Ok(Forwarded::default());
    }
    let hops: Vec<&[u8]> = head.values("x-forwarded-for").flat_map(field::elements).collect();
    let hops: Vec<IpAddr> = hops.iter().rev().map_while(|hop| address(hop)).collect();
    // Each proxy appends the address it sees; the rightmost one that is not a trusted proxy is the client. If all are
    // trusted, the client is in the same network as the proxies, but it is not the proxy that was named itself.
    let is_proxy = |addr: &IpAddr| trusted.iter().any(|proxies| proxies.are_only(*addr));
    let client = hops.iter().find(|addr| !is_trusted(addr)).or(hops.last().filter(|addr| !is_proxy(addr)));

    let mut schemes = head.values("x-forwarded-proto").flat_map(field::elements).map(unquoted);
    let is_https = match schemes.next() {
        None => None,
        Some(first) if schemes.all(|other| other.eq_ignore_ascii_case(first)) => match first {
            scheme if scheme.eq_ignore_ascii_case(b"https") => Some(true),
            scheme if scheme.eq_ignore_ascii_case(b"http") => Some(false),
            _ => None,
        },
        Some(_) => return Err(Refusal::new(400, "the X-Forwarded-Proto fields contradict each other")),
    };
    Ok(Forwarded { client: client.copied(), is_https })
}

/// Parses a node of RFC 7239 section 6 that is an address: `192.0.2.7`, `2001:db8::7` or `[2001:db8::7]`, the first and
/// the last also with a port, and all of them in quotes.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(unquoted(hop)).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, port) = text.split_once(']')?;
            (IpAddr::V6(ipv6(host)?), port)
        }
        None => match ipv6(text) {
            Some(host) => (IpAddr::V6(host), ""),
            None => {
                let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (IpAddr::V4(host.parse().ok()?), port)
            }
        },
    };
    is_port(port).then(|| host.to_canonical())
}

/// An element without the quotes around it. Neither an address nor a scheme has anything to escape in them.
fn unquoted(element: &[u8]) -> &[u8] {
    element.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(element)
}

/// Parses an IPv6 address. Its zone, if any, only has a meaning on the proxy.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.split_once('%').map_or(text, |(addr, _)| addr).parse().ok()
}

/// Whether this is nothing, or a colon and a port, which may be hidden (`_name`).
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        None => text.is_empty(),
        Some(port) => port.starts_with('_') || port.bytes().all(|byte| byte.is_ascii_digit()) && port.len() <= 5,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn forwarded(peer: &str, fields: &str) -> Result<(Option<String>, Option<bool>), u16> {
        forwarded_by(&["127.0.0.1", "10.0.0.1"], peer, fields)
    }

    fn forwarded_by(trusted: &[&str], peer: &str, fields: &str) -> Result<(Option<String>, Option<bool>), u16> {
        let head = RequestHead::new(Bytes::from(format!("GET / HTTP/1.1\r\n{fields}\r\n")));
        let trusted: Vec<Proxies> = trusted.iter().map(|proxies| proxies.parse().expect("valid")).collect();
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

    #[test]
    fn h11_a_field_with_a_list_is_the_same_as_several_fields() {
        let scheme =
            |value: &str| forwarded("127.0.0.1", &format!("X-Forwarded-Proto: {value}\r\n")).map(|read| read.1);
        for (value, is_https) in [
            ("https, https", Ok(Some(true))),
            ("https,HTTPS ,\thttps", Ok(Some(true))),
            (", https,", Ok(Some(true))),
            ("http,http", Ok(Some(false))),
            (",", Ok(None)),
            ("gopher, gopher", Ok(None)),
            ("https, http", Err(400)),
            ("https, wss", Err(400)),
            ("\"https\"", Ok(Some(true))),
            ("\"https\", HTTPS", Ok(Some(true))),
            ("\"https", Ok(None)),
        ] {
            assert_eq!(scheme(value), is_https, "{value}");
        }
        assert_eq!(scheme("https, https\r\nX-Forwarded-Proto: http"), Err(400));
    }

    #[test]
    fn h11_a_hop_is_an_address_in_any_form() {
        let client = |value: &str| {
            forwarded("127.0.0.1", &format!("X-Forwarded-For: {value}\r\n")).map(|read| read.0.unwrap_or_default())
        };
        for (value, expected) in [
            ("192.0.2.7,", "192.0.2.7"),
            ("192.0.2.7, , 10.0.0.1", "192.0.2.7"),
            (",,\t192.0.2.7 ,, ", "192.0.2.7"),
            ("192.0.2.7:1234", "192.0.2.7"),
            ("192.0.2.7:_gazonk", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("\"[2001:db8::7]:443\"", "2001:db8::7"),
            ("\"192.0.2.7\"", "192.0.2.7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("[::ffff:192.0.2.7]:80", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("6.6.6.6, [::ffff:10.0.0.1]", "6.6.6.6"),
            // None of these is an address, and what is before them is not believed.
            ("6.6.6.6, unknown", ""),
            ("6.6.6.6, _hidden", ""),
            ("6.6.6.6, [192.0.2.7]", ""),
            ("6.6.6.6, [2001:db8::7", ""),
            ("6.6.6.6, [2001:db8::7]x", ""),
            ("6.6.6.6, 192.0.2.7:80:80", ""),
            ("6.6.6.6, 192.0.2.7:port", ""),
            ("6.6.6.6, 192.0.2", ""),
            ("6.6.6.6, 1.2.3.4.", ""),
            // An open quote hides nothing that a proxy has appended.
            ("\"6.6.6.6, 192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(client(value).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn h11_networks_of_proxies_are_trusted() {
        let fields = "X-Forwarded-For: 192.0.2.7\r\n";
        for (trusted, peer, is_trusted) in [
            ("172.16.0.0/12", "172.31.255.255", true),
            ("172.16.0.0/12", "172.32.0.0", false),
            ("172.16.0.0/12", "::ffff:172.16.0.1", true),
            ("172.16.9.9/12", "172.17.0.1", true),
            (" 172.16.0.0/12\t", "172.17.0.1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "10.0.0.1", false),
            ("*", "10.0.0.1", true),
            ("*", "2001:db8::1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
        ] {
            let client = is_trusted.then(|| "192.0.2.7".to_owned());
            // Under `*` the hop is trusted as well, but a client all the same.
            assert_eq!(forwarded_by(&[trusted], peer, fields), Ok((client, None)), "{trusted} {peer}");
        }
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "/8", "**", "10.0.0.0-10.0.0.9", "::1/129"] {
            assert!(wrong.parse::<Proxies>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn h11_a_client_may_be_in_the_network_of_the_proxies() {
        let client = |trusted: &[&str], hops: &str| {
            forwarded_by(trusted, "10.0.0.1", &format!("X-Forwarded-For: {hops}\r\n")).map(|read| read.0)
        };
        let named = |addr: &str| Ok(Some(addr.to_owned()));
        assert_eq!(client(&["10.0.0.0/8"], "10.9.9.9, 10.0.0.2"), named("10.9.9.9"));
        assert_eq!(client(&["*"], "6.6.6.6, 192.0.2.7"), named("6.6.6.6"));
        assert_eq!(client(&["10.0.0.0/8", "10.0.0.2"], "10.0.0.2"), Ok(None), "it is named as a proxy");
    }
}
