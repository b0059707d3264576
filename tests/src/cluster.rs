//! A cluster of wasmCloud on this machine: NATS, a registry of OCI images, and hosts. Each is a process, on a port that
//! the system chose.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    TIMEOUT,
    client::{Client, Response},
    place::Place,
    real::{program, spawn, stdout_of, system},
};

/// How long a build may take, or the compilation of a component by a host.
const LONG: Duration = TIMEOUT.saturating_mul(5);

/// A cluster without hosts. All of its processes end when it is dropped, and when this process ends.
pub struct Cluster {
    nats: Connection,
    nats_addr: SocketAddr,
    registry_addr: SocketAddr,
    // Dropped in this order: the directory last.
    _nats: Process,
    _registry: Process,
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
        let registry = Process::start(system("docker-registry").arg("serve").arg(configuration), &place);
        let registry_addr = registry.addr_after("listening on ");
        let nats = Process::start(program("nats-server").args(["--addr", "127.0.0.1", "--port", "-1"]), &place);
        let nats_addr = nats.addr_after("Listening for client connections on ");
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
        let mut command = program("wash");
        // It reports its success on stderr at some levels.
        at_home(command.args(["--log-level", "error"]).args(words), &self.place);
        stdout_of(&mut command, "");
    }

    /// Starts a host, and waits for its heartbeat.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn host(&mut self, name: &str) -> Host {
        let nats = format!("nats://{}", self.nats_addr);
        let mut command = program("wash");
        command.args(["--non-interactive", "host", "--host-name", name, "--http-addr", "127.0.0.1:0"]);
        command.args(["--scheduler-nats-url", &nats, "--data-nats-url", &nats, "--allow-insecure-registries"]);
        command.arg("--oci-cache-dir").arg(self.place.join(name));
        // Otherwise hosts never connect to a loopback address, whatever a handler is allowed to do.
        command.arg("--deny-special-ranges=false");
        let process = Process::start(&mut command, &self.place);
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
    process: Process,
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

/// A process that is killed with all that it has started, when this is dropped, or when this process ends in whatever way.
pub struct Process {
    shell: Child,
    lines: Mutex<mpsc::Receiver<String>>,
}

impl Process {
    /// Starts a process with a home of its own in this place: `wash` writes to it.
    ///
    /// # Panics
    ///
    /// It cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, place: &Place) -> Self {
        // The shell sees the end of its stdin when this process ends, also by a Ctrl-C, which reaches the shell as well. It
        // closes its stdout, so that this process sees the end of the other one.
        let script = "exec 3<&0; setsid \"$0\" \"$@\" 3<&- </dev/null 2>&1 &
            trap '' HUP INT QUIT TERM; exec >&-; read -r _ <&3; kill -9 -$!; wait";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        at_home(&mut shell, place);
        let mut shell = spawn(shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()));
        let stdout = shell.stdout.take().expect("stdout is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // The lines after the last one that is waited for are read too, so that the process need not wait.
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| _ = sender.send(line));
        });
        Self { shell, lines: Mutex::new(lines) }
    }

    /// Waits for a line with this text, and returns all lines up to it.
    ///
    /// # Panics
    ///
    /// There is no such line, or what comes before it takes too long.
    #[must_use]
    pub fn lines_to(&self, text: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Vec::new();
        while let Ok(line) = lines.recv_timeout(LONG) {
            let is_last = line.contains(text);
            seen.push(line);
            if is_last {
                return seen;
            }
        }
        panic!("no line has `{text}`: {seen:#?}");
    }

    /// Waits for a line with this text, and returns the address after it.
    fn addr_after(&self, text: &str) -> SocketAddr {
        let lines = self.lines_to(text);
        let (_, rest) = lines.last().and_then(|line| line.split_once(text)).expect("the line has the text");
        let end = rest.find(|char: char| !char.is_ascii_digit() && !".:".contains(char));
        rest[..end.unwrap_or(rest.len())].parse().expect("an address")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The shell kills the process when its stdin ends.
        drop(self.shell.stdin.take());
        _ = self.shell.wait();
        if thread::panicking() {
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            #[expect(clippy::print_stderr, reason = "it shows why a test failed")]
            lines.iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Gives a process a home of its own: `wash` writes to it.
fn at_home(command: &mut Command, place: &Place) {
    let names = ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];
    command.envs(names.map(|name| (name, place.join("home"))));
}

/// A connection to NATS: its protocol is lines of text, and payloads after them.
struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("NATS listens");
        stream.set_read_timeout(Some(LONG)).expect("the timeout is not zero");
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
