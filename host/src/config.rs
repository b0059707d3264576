//! What the program needs, checked before a socket listens. No flag is read after it.

mod task;

use std::{
    ffi::OsString,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use http::HeaderValue;

pub use self::task::{Dump, Inspect, Making, New, Source, Task};
use crate::gateway::{environ, mounts::Mounts};

/// All that decides how the server behaves.
#[derive(Debug)]
pub struct Config {
    /// The handlers to serve, and where.
    pub handlers: Mounts<Source>,
    /// Where to listen, as `HOST:PORT`; a name is looked up when it is bound.
    pub addr: String,
    /// What one exchange may use.
    pub limits: Limits,
    /// How many handlers may run at the same time.
    pub crowd: Crowd,
    /// What components get of the process.
    pub room: Room,
    /// Octets of a component's file.
    pub component: u64,
    /// How long running exchanges may go on after the server was asked to stop.
    pub drain: Duration,
    /// How many connections may be open at the same time; as many as there are descriptors for if `None`.
    pub connections: Option<usize>,
    /// How components are compiled.
    pub compile: Compile,
    /// How sources are built.
    pub build: Build,
    /// Whether a handler is replaced when its file or its source changes.
    pub watch: bool,
    /// What handlers may touch.
    pub grants: Grants,
    /// What the gateway does with requests and responses.
    pub gateway: Gateway,
    /// How long a closed connection may still send what waits for the client (`SO_LINGER`); the system's own way if `None`.
    pub linger: Option<Duration>,
    /// Where the statistics can be read, if anywhere.
    pub stats: Option<SocketAddr>,
    /// How exchanges are logged.
    pub access_log: AccessLog,
    /// How long the server lives.
    pub life: Life,
}

/// How long the server lives, beside what signals say, and what begins and ends with it.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// After how many exchanges it ends; at least 1.
    pub exchanges: Option<u64>,
    /// How long after it began to listen.
    pub ttl: Option<Duration>,
    /// After how long without an exchange.
    pub idle: Option<Duration>,
    /// A command for the shell, with whose end it ends.
    pub exec: Option<OsString>,
    /// Whether a browser is to show it.
    pub open: bool,
    /// The file that says the port as long as it listens.
    pub port_file: Option<PathBuf>,
}

/// What the gateway does with requests and responses.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Bodies up to this length are read before the handler begins, so that they have a length (rule I8); 0 for none.
    pub buffer_body: u64,
    /// The proxies that are believed what they say of their clients (rule H11).
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether to tell what is unusual in requests.
    pub lint: bool,
    /// Whether clients are told why a handler failed, and where.
    pub debug: bool,
    /// Whether `OPTIONS *` goes to the handler of `/` instead of being answered by the host (rule T5).
    pub asterisk_to_handler: bool,
    /// Whether a client that ends its side of the connection is taken to be gone, though it may only have said all that it
    /// has to say (rules K9, K10).
    pub abort_on_half_close: bool,
    /// What `SERVER_NAME` says instead of our address (rule E6).
    pub server_name: Option<String>,
    /// The `Server` field of responses in which the handler sets none; no field if `None`.
    pub server: Option<HeaderValue>,
}

impl Gateway {
    /// The settings without any flag.
    pub const DEFAULT: Self = Self {
        buffer_body: 0,
        trusted_proxies: Vec::new(),
        lint: false,
        debug: false,
        asterisk_to_handler: false,
        abort_on_half_close: false,
        server_name: None,
        server: Some(HeaderValue::from_static(environ::SOFTWARE)),
    };
}

/// The format of the access log (rules L1 to L6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// As Python's `http.server` writes it, in local time.
    #[default]
    BaseHttp,
    /// The Common Log Format, as Apache and nginx write it.
    Common,
    /// The same with `Referer` and `User-Agent`.
    Combined,
    /// One JSON object a line.
    Json,
    /// Nothing.
    None,
}

/// How a component is compiled: in a process of its own, within limits.
#[derive(Clone, Debug)]
pub struct Compile {
    /// The program to run: this one.
    pub program: PathBuf,
    /// How long it may take, and how much time of processors it may use.
    pub timeout: Duration,
    /// Octets that it may use.
    pub memory: u64,
    /// What decides how it compiles.
    pub room: Room,
}

impl Compile {
    /// By this program, within the limits without any flag.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program, timeout: Duration::from_secs(60), memory: 2 << 30, room: Room::DEFAULT }
    }
}

/// How a handler's source becomes a component.
#[derive(Clone, Debug)]
pub struct Build {
    /// Whether the component tells files and lines in its stacks, which makes it many times larger.
    pub lines: bool,
    /// Whether what the compiler says may have colours.
    pub color: bool,
}

/// What one exchange may use. Everything is bounded, by default too.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a handler may run, from the request's head to the end of the response.
    pub timeout: Duration,
    /// How long it may compute in that time.
    pub cpu_time: Duration,
    /// Octets in all memories and tables of one instance together.
    pub memory: u64,
    /// Octets that the host takes from an instance in the arguments of one call; as many as fit into its memory if `None`.
    pub arguments: Option<u64>,
    /// Handles of an instance on things of the host.
    pub handles: usize,
    /// Octets of all that a handler says in one exchange.
    pub log: usize,
    /// Octets of one line of that.
    pub log_line: usize,
    /// Octets of a request body.
    pub body: u64,
    /// Octets of a request head, and of a response head.
    pub head: u64,
    /// Octets of a request target (rule T12).
    pub target: usize,
    /// Header lines in a request or response.
    pub fields: usize,
    /// How long a client may take to send a head, from its first octet, or from the beginning of the connection.
    pub head_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// How long a client may send nothing while its body is awaited (rule I12).
    pub body_timeout: Duration,
    /// How long a client may take nothing of its response.
    pub write_timeout: Duration,
    /// How many octets a second a client has to send of a body that is awaited, and to take of a response; 0 for any.
    pub rate: u32,
}

impl Limits {
    /// The limits without any flag.
    pub const DEFAULT: Self = Self {
        timeout: Duration::from_secs(30),
        cpu_time: Duration::from_secs(5),
        memory: 128 << 20,
        arguments: None,
        handles: 1000,
        log: 256 << 10,
        log_line: 8 << 10,
        body: 32 << 20,
        head: 32 << 10,
        target: 8 << 10,
        fields: 100,
        head_timeout: Duration::from_secs(10),
        keep_alive: Duration::from_secs(15),
        body_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        rate: 240,
    };
}

/// What components get of the process.
#[derive(Clone, Debug)]
pub struct Room {
    /// Octets in all instances together.
    pub memory: u64,
    /// How many instances there may be at the same time, from 1 to [`INSTANCES_MAX`](crate::handler::INSTANCES_MAX). Each has a
    /// place of its own in the address space, so more than are wanted make starting slow.
    pub instances: usize,
    /// Octets of the stack of each.
    pub stack: usize,
    /// Whether their stacks tell files and lines, if components have them. What says so is the author's input to us, and
    /// makes compiling slower, so it is for debugging.
    pub lines: bool,
}

impl Room {
    /// What there is without any flag. CPython recurses deeply, so the stack is larger than most need.
    pub const DEFAULT: Self = Self { memory: 2 << 30, instances: 1000, stack: 1 << 20, lines: false };
}

/// How many handlers may run at the same time.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// Exchanges whose handlers run, most of which wait: each costs memory.
    pub exchanges: usize,
    /// Handlers that compute for longer than a tick: they share what the cores have left.
    pub computing: usize,
    /// Exchanges that wait until a handler may run. More are refused at once.
    pub queue: usize,
    /// How long they wait at most. Those for whom half of it would hardly be enough are refused at once.
    pub queue_wait: Duration,
}

impl Crowd {
    /// The limits without any flag.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { exchanges: 1000, computing: 32 * cores, queue: 256, queue_wait: Duration::from_secs(2) }
    }
}

/// What a handler may use, and what it may touch.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// What one exchange may use.
    pub limits: Limits,
    /// What it may touch.
    pub grants: Grants,
}

/// What handlers may touch outside of their instance: nothing but this.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Variables for the environ and for the handler's WASI environment.
    pub env: Vec<Variable>,
    /// Directories.
    pub dirs: Vec<Dir>,
    /// Addresses, for sockets and for outgoing requests alike.
    pub net: Vec<Net>,
}

impl Grants {
    /// Whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.dirs.is_empty() && self.net.is_empty()
    }
}

impl fmt::Display for Grants {
    /// One line a grant. Values of variables are often secrets, so only their names are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for variable in &self.env {
            writeln!(f, "granted: --env {}", variable.name)?;
        }
        for dir in &self.dirs {
            writeln!(f, "granted: --dir {dir}")?;
        }
        for net in &self.net {
            writeln!(f, "granted: --allow-net {}:{}", net.host, net.port)?;
        }
        Ok(())
    }
}

/// `--env NAME=VALUE`.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The name, which is none of the gateway's own (rule E15).
    pub name: String,
    /// The value, which may be empty.
    pub value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
        if name.is_empty() || name.contains(char::is_control) || value.contains('\0') {
            return Err("write NAME=VALUE, with a name and without control characters in it".into());
        }
        if environ::is_reserved(name) {
            return Err(format!("`{name}` is a variable of the gateway, which --env may not override"));
        }
        Ok(Variable { name: name.to_owned(), value: value.to_owned() })
    }
}

/// `--dir HOST::GUEST[:ro]`.
#[derive(Clone, Debug)]
pub struct Dir {
    /// The directory on this machine.
    pub host: PathBuf,
    /// The name under which the handler sees it.
    pub guest: String,
    /// Whether the handler may only read.
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
        let (host, guest) = text.split_once("::").ok_or("write HOST::GUEST, as in ./data::/data")?;
        let (guest, read_only) = match guest.strip_suffix(":ro") {
            Some(guest) => (guest, true),
            None => (guest, false),
        };
        if guest.is_empty() || guest.ends_with(":rw") {
            return Err("write HOST::GUEST, or HOST::GUEST:ro to read only, as in ./data::/data".into());
        }
        match std::fs::metadata(host) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(format!("`{host}` is not a directory")),
            Err(error) => return Err(format!("`{host}` cannot be used: {error}")),
        }
        Ok(Dir { host: host.into(), guest: guest.to_owned(), read_only })
    }
}

/// `--allow-net HOST:PORT`.
#[derive(Clone, Debug)]
pub struct Net {
    /// A name in lower case, or the literal of an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    addrs: Vec<IpAddr>,
}

impl Net {
    /// Whether a socket may use this address. Names were looked up once, at start.
    #[must_use]
    pub fn covers(&self, addr: SocketAddr) -> bool {
        self.port == addr.port() && self.addrs.contains(&addr.ip().to_canonical())
    }

    /// Whether this grant is for that host, as a handler may write it.
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
        if host.is_empty() {
            return Err("write HOST:PORT, as in 127.0.0.1:5432".into());
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let addrs: Vec<IpAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|error| format!("`{host}` cannot be looked up: {error}"))?
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
        let net: Net = "127.0.0.1:5432".parse().expect("it is an address");
        assert!(net.covers(([127, 0, 0, 1], 5432).into()));
        assert!(net.covers(SocketAddr::new("::ffff:127.0.0.1".parse().expect("mapped"), 5432)));
        assert!(!net.covers(([127, 0, 0, 1], 5433).into()));
        assert!(!net.covers(([127, 0, 0, 2], 5432).into()));
        assert!("127.0.0.1".parse::<Net>().is_err());
        assert!("[::1]:80".parse::<Net>().is_ok_and(|net| net.names("[::1]") && net.names("::1")));
    }

    #[test]
    fn a_directory_must_be_one() {
        assert!("/::/data:ro".parse::<Dir>().is_ok_and(|dir| dir.read_only && dir.guest == "/data"));
        assert!("/::/data".parse::<Dir>().is_ok_and(|dir| !dir.read_only));
        assert!("/nowhere-at-all::/data".parse::<Dir>().is_err());
        assert!("/".parse::<Dir>().is_err());
        assert!("/::".parse::<Dir>().is_err());
    }
}
