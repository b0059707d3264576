//! nginx in front of the server, with its defaults and with common settings.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
    sync::mpsc,
    thread,
};

use socket2::{Domain, Socket, Type};
use wasmserve_tests::{
    TIMEOUT,
    client::{Client, End},
    place::Place,
    real::{spawn, stdout_of, system},
    server::{Launch, Server},
};

/// A running nginx. Dropping it kills nginx.
struct Nginx {
    child: Child,
    addr: SocketAddr,
    /// The lines of its stderr.
    lines: mpsc::Receiver<String>,
    /// Keeps the port.
    _reserved: Socket,
    _place: Place,
}

impl Nginx {
    /// Starts nginx in front of a server, with these lines in its `location`.
    fn before(server: &Server, location: &str) -> Self {
        let place = Place::new();
        let reserved = reserve();
        let addr = reserved.local_addr().ok().and_then(|addr| addr.as_socket()).expect("the socket is bound");
        let here = place.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|what| format!("    {what}_temp_path \"{here}/{what}\";\n"))
            .collect();
        let config = place.file(
            "nginx.conf",
            format!(
                "daemon off;
master_process off;
pid \"{here}/pid\";
error_log stderr notice;
events {{}}
http {{
    access_log off;
{temporary}
    upstream wasmserve {{
        server {upstream};
        keepalive 4;
    }}
    server {{
        listen {addr} reuseport;
        location / {{
            proxy_pass http://wasmserve;
            {location}
        }}
    }}
}}
",
                upstream = server.addr()
            ),
        );
        let mut command = system("nginx");
        command.args(["-e", "stderr", "-c"]).arg(&config).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        let stderr = child.stderr.take().expect("stderr is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // A test that has ended does not need the last lines.
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok()
        });
        let nginx = Self { child, addr, lines, _reserved: reserved, _place: place };
        // It prints the name of the system once it listens.
        while !nginx.lines.recv_timeout(TIMEOUT).expect("nginx starts").contains("OS: ") {}
        nginx
    }

    fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// The response that `curl` gets from nginx.
    fn curl(&self, words: &[&str]) -> String {
        stdout_of(
            system("curl").args(["-sS", "--max-time", "50"]).args(words).arg(format!("http://{}/", self.addr)),
            "",
        )
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Both fail only if nginx has ended.
        _ = self.child.kill();
        _ = self.child.wait();
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "it helps to see why a test failed")]
            for line in &self.lines {
                eprintln!("{line}");
            }
        }
    }
}

/// Reserves a port for nginx: only sockets with `SO_REUSEPORT` can share it, and no other process uses that.
fn reserve() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a free descriptor");
    socket.set_reuse_port(true).expect("the system supports SO_REUSEPORT");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    socket
}

/// Reuses connections to the server.
const KEEP_ALIVE: &str = "proxy_http_version 1.1; proxy_set_header Connection '';";

/// Passes requests and responses on without buffering them.
const UNBUFFERED: &str = "proxy_http_version 1.1; proxy_set_header Connection '';
            proxy_buffering off; proxy_request_buffering off;";

/// Makes many different requests on four connections to nginx, and checks all responses.
fn ask_a_lot(nginx: &Nginx) {
    let body = &"x".repeat(50_000);
    thread::scope(|scope| {
        for mut client in [(); 4].map(|()| nginx.connect()) {
            scope.spawn(move || {
                for number in 0..100 {
                    let request = match number % 4 {
                        0 => format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n"),
                        1 => format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n{body}"),
                        2 => format!(
                            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n{body}\r\n0\r\n\r\n"
                        ),
                        _ => "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
                    };
                    client.send(request);
                    let response = client.response();
                    assert_eq!((response.status, response.end), (200, End::Whole), "{number}");
                    assert_eq!(response.body.len(), [0, 50_000, 50_000, 5][number % 4], "{number}");
                }
            });
        }
    });
}

#[test]
fn nginx_with_its_defaults_never_answers_502() {
    let server = Server::start("echo");
    ask_a_lot(&Nginx::before(&server, ""));
    let log = server.stop();
    assert_eq!(log.iter().filter(|line| line.ends_with(" 200 -")).count(), 400, "{log:#?}");
}

#[test]
fn k1_nginx_with_keep_alive_never_answers_502_and_keeps_its_connections() {
    let server = Server::start("echo");
    ask_a_lot(&Nginx::before(&server, KEEP_ALIVE));
    let server = Server::start("environ");
    let nginx = Nginx::before(&server, KEEP_ALIVE);
    let mut client = nginx.connect();
    let mut ports = BTreeSet::new();
    for _ in 0..100 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = client.response();
        let port = response.text().lines().find(|line| line.starts_with("REMOTE_PORT")).expect("E7");
        ports.insert(port.to_owned());
    }
    assert_eq!(ports.len(), 1, "{ports:?}");
}

#[test]
fn nginx_without_buffers_never_answers_502() {
    let server = Server::start("echo");
    ask_a_lot(&Nginx::before(&server, UNBUFFERED));
}

#[test]
fn nginx_passes_on_responses_and_faults() {
    let server = Server::start("misbehaves");
    for flags in ["", KEEP_ALIVE, UNBUFFERED] {
        let nginx = Nginx::before(&server, flags);
        let mut client = nginx.connect();
        for _ in 0..20 {
            for (path, status) in [("/", 200), ("/traps", 500)] {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
                let response = client.response();
                assert_eq!((response.status, response.end), (status, End::Whole), "{path} {flags}");
            }
        }
    }
}

#[test]
fn k5_nginx_reads_the_response_of_a_handler_that_ignores_an_upload() {
    let server = Server::start("ignores_input");
    let body = "x".repeat(900_000);
    for flags in ["", KEEP_ALIVE, UNBUFFERED] {
        let nginx = Nginx::before(&server, flags);
        for _ in 0..10 {
            let mut client = nginx.connect();
            _ = client.try_send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{body}"));
            let response = client.response();
            assert_eq!((response.status, response.text()), (200, "ignored"), "{flags}");
        }
    }
}

/// The usual configuration for passing on the address of the client.
const FORWARDED: &str = "proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;";

/// Flags for a client with another address, which claims to have a third one.
const STRANGER: [&str; 4] = ["--interface", "127.0.0.2", "-H", "X-Forwarded-For: 192.0.2.1"];

#[test]
fn h11_nginx_is_trusted_if_it_is_listed() {
    let server = Launch::program("environ").flags(["--forwarded-allow-ips", "127.0.0.1"]).start();
    let nginx = Nginx::before(&server, FORWARDED);
    let text = nginx.curl(&STRANGER);
    let host = format!("HTTP_HOST = \"{}\"", nginx.addr);
    for line in ["REMOTE_ADDR = \"127.0.0.2\"", "wsgi.url_scheme = \"https\"", &host] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    // A client that does not come through nginx is not trusted.
    let direct = format!("http://{}/", server.addr());
    let words = ["-sS", "--interface", "127.0.0.2", "-H", "X-Forwarded-Proto: https", &direct];
    let text = stdout_of(system("curl").args(words), "");
    assert!(text.contains("\nREMOTE_ADDR = \"127.0.0.2\"\n") && text.contains("url_scheme = \"http\"\n"), "{text}");
}

#[test]
fn h11_nginx_is_not_trusted_unless_it_is_listed() {
    let server = Server::start("environ");
    let text = Nginx::before(&server, FORWARDED).curl(&STRANGER);
    for line in [
        "REMOTE_ADDR = \"127.0.0.1\"",
        "wsgi.url_scheme = \"http\"",
        "HTTP_X_FORWARDED_FOR = \"192.0.2.1, 127.0.0.2\"",
        "HTTP_X_FORWARDED_PROTO = \"https\"",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
}

#[test]
fn b7_nginx_without_buffers_streams_both_ways() {
    let server = Server::start("reads_input");
    let nginx = Nginx::before(&server, UNBUFFERED);
    let mut client = nginx.connect();
    client.send("POST /eager HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel");
    let head = client.head().expect("the response head comes before the request ends");
    let mut sender = client.sender();
    let mut body = client.body(&head);
    assert_eq!(body.next().as_deref(), Some(&b"reading\n"[..]));
    std::io::Write::write_all(&mut sender, b"lo").expect("nginx accepts it");
    assert_eq!(body.next().as_deref(), Some(&b"5 octets, trailers []\n"[..]));
    assert_eq!((body.next(), body.end()), (None, End::Whole));
}

#[test]
fn x3_nginx_notices_a_truncated_response() {
    let server = Server::start("traps_after_first_write");
    for flags in [KEEP_ALIVE, UNBUFFERED] {
        let nginx = Nginx::before(&server, flags);
        for path in ["/", "/length"] {
            let mut client = nginx.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
            let response = client.response();
            assert_eq!((response.status, response.end, response.text()), (200, End::Cut, "first"), "{path} {flags}");
        }
    }
}

#[test]
fn k10_a_disconnect_from_nginx_reaches_the_handler() {
    let server = Server::start("misbehaves");
    let nginx = Nginx::before(&server, UNBUFFERED);
    let mut client = nginx.connect();
    client.send("GET /streams HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().expect("a response head").status, 200);
    drop(client);
    server.line(|line| line.ends_with("\"GET /streams HTTP/1.1\" 499 -"));
}
