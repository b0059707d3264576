//! What a server that has just started serves, and where.

use std::net::SocketAddr;

/// A server that listens.
#[derive(Clone, Debug)]
pub struct Listening {
    /// The addresses of its sockets, at least one. They may be unspecified ones such as `0.0.0.0`.
    pub addrs: Vec<SocketAddr>,
    /// Its URL for clients on this machine.
    pub local: String,
    /// Its URLs for other machines, if it listens on all addresses.
    pub network: Vec<String>,
    /// The URL of the viewer, with its token, if there is one.
    pub viewer: Option<String>,
    /// The handlers as the user named them, each with the path that it is mounted at.
    pub handlers: Vec<(String, String)>,
    /// The limits that differ from the defaults, as flags.
    pub limits: Vec<String>,
    /// Whether to show the URL for other machines as a QR code (`--qr`).
    pub qr: bool,
    /// The keys that the server reads, in words; empty if it reads none.
    pub keys: &'static str,
}

impl Listening {
    /// Why there is no use for the QR code that was asked for, if there is none.
    pub(crate) fn why_no_qr(&self, is_terminal: bool) -> Option<String> {
        match () {
            () if !self.qr => None,
            () if !is_terminal => Some("--qr is ignored: it needs a terminal and --access-log-format terminal".into()),
            () if self.network.is_empty() => Some(format!(
                "only this machine can open the QR code's {}; for others, write --addr 0.0.0.0:{}",
                self.local,
                self.addrs.first().map_or(0, SocketAddr::port)
            )),
            () => None,
        }
    }
}
