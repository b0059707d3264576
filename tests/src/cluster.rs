//! A cluster of wasmCloud on this machine: NATS, a registry of OCI images, and hosts. Each is a process, on a port that
//! the system chose.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::{
    TIMEOUT,
    client::{Client, Response},
    place::Place,
    real::{program, stdout_of, system},
    server::{Launch, Server},
};

/// A cluster without hosts. All of its processes end when it is dropped, and when this process ends.
pub struct Cluster {
    nats: Connection,
    nats_addr: SocketAddr,
    registry_addr: SocketAddr,
    // Dropped in this order: the directory last.
    _nats: Server,
    _registry: Server,
    place: Place,
}

impl Cluster {
    /// Starts NATS and the registry.
    ///
    /// # Panics
    ///
    /// One of them is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let place = Place::new();
        let configuration = json!({
            "version": "0.1",
            "storage": { "filesystem": { "rootdirectory": place.join("images") } },
            "http": { "addr": "127.0.0.1:0" },
        });
        let configuration = place.file("registry.json", configuration.to_string());
        // Says what to do if it is not installed.
        stdout_of(system("docker-registry").arg("--version"), "");
        let registry = Launch::foreign(system("docker-registry")).flags(["serve"]).flags([configuration]).spawn();
        let registry_addr = addr_after(&registry, "listening on ");
        let nats = Launch::foreign(program("nats-server")).flags(["--addr", "127.0.0.1", "--port", "-1"]).spawn();
        let nats_addr = addr_after(&nats, "Listening for client connections on ");
        let mut connection = Connection::open(nats_addr);
        connection.subscribe("runtime.operator.heartbeat.*");
        Self { nats: connection, nats_addr, registry_addr, _nats: nats, _registry: registry, place }
    }

    /// The address of the registry.
    #[must_use]
    pub fn registry(&self) -> SocketAddr {
        self.registry_addr
    }

    /// Runs `wash`, which must succeed.
    pub fn wash(&self, words: &[&str]) {
        // It reports its success on stderr at some levels.
        stdout_of(program("wash").envs(home(&self.place)).args(["--log-level", "error"]).args(words), "");
    }

    /// Starts a host, and waits for its heartbeat.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn host(&mut self, name: &str) -> Host {
        let nats = format!("nats://{}", self.nats_addr);
        let mut command = program("wash");
        command.envs(home(&self.place)).args([
            "--non-interactive",
            "host",
            "--host-name",
            name,
            "--http-addr",
            "127.0.0.1:0",
        ]);
        command.args(["--scheduler-nats-url", &nats, "--data-nats-url", &nats, "--allow-insecure-registries"]);
        command.arg("--oci-cache-dir").arg(self.place.join(name));
        // Otherwise hosts never connect to a loopback address, whatever a handler is allowed to do.
        command.arg("--deny-special-ranges=false");
        let process = Launch::foreign(command).spawn();
        loop {
            let beat = self.nats.message();
            if beat["hostname"] == name {
                let port = beat["httpPort"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
                let id = beat["id"].as_str().expect("hosts have ids").to_owned();
                return Host { id, addr: (Ipv4Addr::LOCALHOST, port).into(), process };
            }
        }
    }

    /// Starts a workload on a host, and returns the state that the host reports.
    ///
    /// # Panics
    ///
    /// The host does not answer.
    #[must_use]
    pub fn begin(&self, host: &Host, request: &[u8]) -> String {
        let mut connection = Connection::open(self.nats_addr);
        let answer = connection.request(&format!("runtime.host.{}.workload.start", host.id), request);
        answer["workloadStatus"]["workloadState"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

/// A host that runs workloads.
pub struct Host {
    id: String,
    addr: SocketAddr,
    process: Server,
}

impl Host {
    /// A new connection to it.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Sends a GET for a host name on its own connection, and reads the response.
    pub fn get(&self, name: &str, target: &str) -> Response {
        let mut client = self.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        client.response()
    }

    /// Kills it, and waits until it has ended.
    pub fn kill(self) {
        drop(self.process);
    }
}

/// The variables that give a program a home in this place: `wash` writes to its home.
#[must_use]
pub fn home(place: &Place) -> [(&'static str, PathBuf); 4] {
    ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"].map(|name| (name, place.join("home")))
}

/// The address after this text in a log.
fn addr_after(server: &Server, text: &str) -> SocketAddr {
    let line = server.line_with(text);
    let (_, rest) = line.split_once(text).expect("the line has the text");
    let end = rest.find(|char: char| !char.is_ascii_digit() && !".:".contains(char));
    rest[..end.unwrap_or(rest.len())].parse().expect("an address")
}

/// A connection to NATS: its protocol is lines of text, and payloads after them.
struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("NATS listens");
        // A host compiles a component before it answers.
        stream.set_read_timeout(Some(5 * TIMEOUT)).expect("the timeout is not zero");
        let mut connection = Self { reader: BufReader::new(stream) };
        connection.send(b"CONNECT {\"verbose\":false}\r\n");
        connection
    }

    fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).expect("NATS reads what is sent");
    }

    fn subscribe(&mut self, subject: &str) {
        self.send(format!("SUB {subject} 1\r\n").as_bytes());
    }

    fn request(&mut self, subject: &str, payload: &[u8]) -> Value {
        self.subscribe("answers");
        let head = format!("PUB {subject} answers {}\r\n", payload.len());
        self.send(&[head.as_bytes(), payload, b"\r\n"].concat());
        self.message()
    }

    /// Waits for the next message.
    fn message(&mut self) -> Value {
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line).expect("a message comes in time");
            assert!(read > 0, "NATS has closed the connection");
            match line.split_whitespace().next() {
                Some("MSG") => {
                    let length: usize =
                        line.split_whitespace().last().and_then(|word| word.parse().ok()).expect("a length");
                    let mut payload = vec![0; length + 2];
                    self.reader.read_exact(&mut payload).expect("the message is complete");
                    return serde_json::from_slice(&payload[..length]).expect("hosts send JSON");
                }
                Some("PING") => self.send(b"PONG\r\n"),
                Some("-ERR") => panic!("{line}"),
                _ => {}
            }
        }
    }
}
