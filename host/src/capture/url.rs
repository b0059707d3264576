//! The URLs of captured requests.

use std::fmt::Write as _;

use super::{message::Message, record::Record};

/// The two parts of a request's URL, as the client sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The host and the port: those of the target, else of `Host`, else our own address.
    pub authority: Vec<u8>,
    /// The path with the query. It begins with `/` unless the target is `*`, or is no target at all.
    pub path: Vec<u8>,
}

impl Url {
    /// The URL of a record's request.
    #[must_use]
    pub fn of(record: &Record, request: &Message) -> Self {
        let [_, target, _] = request.words();
        let head = record.request_head();
        if let Some(authority) = head.parts().authority {
            let begin = target.windows(3).position(|part| part == b"://").map_or(0, |at| at + 3);
            let path = target.get(begin + authority.len()..).unwrap_or_default();
            let slash: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
            return Self { authority: authority.to_vec(), path: [slash, path].concat() };
        }
        let host = request.value("host").filter(|host| is_authority(host));
        let authority = host.map_or_else(|| record.local.to_string().into_bytes(), <[u8]>::to_vec);
        Self { authority, path: target.to_vec() }
    }

    /// The whole URL, with escapes for what no URL may contain.
    #[must_use]
    pub fn text(&self, scheme: &str) -> String {
        let slash = if self.path.starts_with(b"/") { "" } else { "/" };
        format!("{scheme}://{}{slash}{}", escaped(&self.authority), escaped(&self.path))
    }
}

fn is_authority(host: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    !host.is_empty() && host.iter().all(is_allowed)
}

/// Percent-encodes bytes that no URL may contain (RFC 3986). Escapes stay as they are.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if is_allowed(*byte) {
            text.push(char::from(*byte));
        } else {
            _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Whether a byte may be in a URL as it is.
#[must_use]
pub fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}
