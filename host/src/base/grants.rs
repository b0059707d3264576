//! What handlers may use and access: limits, variables, directories and network addresses.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use wasmserve_gateway::environ::Variable;

use super::limits::Limits;

/// What a handler may use, and what it may access.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// What one exchange may use.
    pub limits: Limits,
    /// What it may access.
    pub grants: Grants,
}

impl Allowance {
    /// Combines limits and grants.
    #[must_use]
    pub fn new(limits: &Limits, grants: &Grants) -> Self {
        Self { limits: limits.clone(), grants: grants.clone() }
    }
}

/// What handlers get from the user, and may access outside of their instance. Everything else is denied.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Arguments, after the name of the program.
    pub args: Vec<String>,
    /// Variables added to the environ and to the handler's WASI environment.
    pub env: Vec<Variable>,
    /// Directories visible to the handler.
    pub dirs: Vec<Dir>,
    /// Addresses that the handler may use, with sockets or outgoing requests.
    pub net: Vec<Net>,
    /// Ports of this machine's loopback addresses that no grant opens: those of our own listeners that handlers must not
    /// reach.
    pub closed: Vec<u16>,
}

impl Grants {
    /// Whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.dirs.is_empty() && self.net.is_empty()
    }

    /// Whether an address leads to one of our own listeners that handlers must not reach. Connecting to the unspecified
    /// address leads to this machine, too.
    #[must_use]
    pub fn closes(&self, addr: SocketAddr) -> bool {
        let ip = addr.ip().to_canonical();
        self.closed.contains(&addr.port()) && (ip.is_loopback() || ip.is_unspecified())
    }

    /// Adds a variable, which replaces one of the same name.
    pub(crate) fn add_variable(&mut self, variable: &Variable) {
        self.env.retain(|other| other.name != variable.name);
        self.env.push(variable.clone());
    }

    /// Adds a directory, which replaces one with the same path for the handler.
    pub(crate) fn add_dir(&mut self, dir: &Dir) {
        self.dirs.retain(|other| other.guest != dir.guest);
        self.dirs.push(dir.clone());
    }

    /// A line for each grant, as a flag for the handlers in `scope`. Values of variables are often secrets, so only names
    /// are shown.
    #[must_use]
    pub(crate) fn lines(&self, scope: &str) -> Vec<String> {
        let env = self.env.iter().map(|variable| format!("granted: --env {scope}{}", variable.name));
        let dirs = self.dirs.iter().map(|dir| format!("granted: --dir {scope}{dir}"));
        let net = self.net.iter().map(|net| format!("granted: --allow-net {scope}{}:{}", net.host, net.port));
        env.chain(dirs).chain(net).collect()
    }
}

/// `--dir HOST::GUEST[:ro]`.
#[derive(Clone, Debug)]
pub struct Dir {
    /// The directory on the host.
    pub host: PathBuf,
    /// The path under which the handler sees it.
    pub guest: String,
    /// Whether the handler has read access only.
    pub read_only: bool,
}

impl fmt::Display for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read_only = if self.read_only { ":ro" } else { "" };
        write!(f, "{}::{}{read_only}", self.host.display(), self.guest)
    }
}

impl FromStr for Dir {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((host, guest)) = text.split_once("::") else {
            return Err(match text.split_once(':') {
                Some((host, guest)) if guest.starts_with('/') => format!("write two colons: {host}::{guest}"),
                _ => "write HOST::GUEST, as in ./data::/data".into(),
            });
        };
        let (guest, read_only) = match guest.strip_suffix(":ro") {
            Some(guest) => (guest, true),
            None => (guest, false),
        };
        if host.is_empty() || guest.is_empty() || guest.ends_with(":rw") {
            return Err("write HOST::GUEST, or HOST::GUEST:ro to read only, as in ./data::/data".into());
        }
        match std::fs::metadata(host) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(format!("`{host}` is a file; grant the directory that contains it")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!(
                    "`{host}` does not exist; create it with `mkdir -p {host}`, or name another directory"
                ));
            }
            Err(error) => return Err(format!("`{host}` cannot be read: {error}; name another directory")),
        }
        Ok(Dir { host: host.into(), guest: guest.to_owned(), read_only })
    }
}

/// `--allow-net HOST:PORT`.
#[derive(Clone, Debug)]
pub struct Net {
    /// A lower-case name, or an IP address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    addrs: Vec<IpAddr>,
}

impl Net {
    /// Whether a socket may use this address. Names are resolved once, at startup.
    #[must_use]
    pub fn covers(&self, addr: SocketAddr) -> bool {
        self.port == addr.port() && self.addrs.contains(&addr.ip().to_canonical())
    }

    /// Whether this grant is for `host`, with or without brackets around an IPv6 address.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        self.host.eq_ignore_ascii_case(host)
    }
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use std::net::ToSocketAddrs as _;
        let (host, port) = text.rsplit_once(':').ok_or("write HOST:PORT, as in 127.0.0.1:5432")?;
        let port = port.parse().map_err(|_| "write HOST:PORT, as in 127.0.0.1:5432")?;
        if host.is_empty() || host.contains('/') {
            return Err("write HOST:PORT, as in 127.0.0.1:5432".into());
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let addrs: Vec<IpAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|_| {
                format!("no address was found for `{host}`; check the name, or write an address, as in 127.0.0.1:5432")
            })?
            .map(|addr| addr.ip().to_canonical())
            .collect();
        Ok(Net { host: host.to_ascii_lowercase(), port, addrs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_for_an_address_covers_that_address_and_port_only() {
        let net: Net = "127.0.0.1:5432".parse().expect("valid");
        assert!(net.covers(([127, 0, 0, 1], 5432).into()));
        assert!(net.covers(SocketAddr::new("::ffff:127.0.0.1".parse().expect("valid"), 5432)));
        assert!(!net.covers(([127, 0, 0, 1], 5433).into()));
        assert!(!net.covers(([127, 0, 0, 2], 5432).into()));
        assert!("127.0.0.1".parse::<Net>().is_err());
        assert!("[::1]:80".parse::<Net>().is_ok_and(|net| net.names("[::1]") && net.names("::1")));
    }

    #[test]
    fn a_closed_port_is_closed_at_every_address_of_this_machine_and_nowhere_else() {
        let grants = Grants { closed: vec![8001], ..Grants::default() };
        for addr in
            ["127.0.0.1:8001", "127.9.9.9:8001", "0.0.0.0:8001", "[::1]:8001", "[::]:8001", "[::ffff:127.0.0.1]:8001"]
        {
            assert!(grants.closes(addr.parse().expect("valid")), "{addr}");
        }
        for addr in ["127.0.0.1:8000", "192.0.2.1:8001", "[2001:db8::1]:8001"] {
            assert!(!grants.closes(addr.parse().expect("valid")), "{addr}");
        }
    }

    #[test]
    fn a_granted_directory_must_exist_and_have_a_guest_path() {
        assert!("/::/data:ro".parse::<Dir>().is_ok_and(|dir| dir.read_only && dir.guest == "/data"));
        assert!("/::/data".parse::<Dir>().is_ok_and(|dir| !dir.read_only));
        assert!("/nowhere-at-all::/data".parse::<Dir>().is_err());
        assert!("/".parse::<Dir>().is_err());
        assert!("/::".parse::<Dir>().is_err());
    }
}
