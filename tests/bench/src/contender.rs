//! The servers to compare, and how to start each.

pub mod wsgi;

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use wasmserve_tests::{
    guest,
    place::{self, Place},
};

use crate::{
    exercise::LARGE,
    process::{Process, free_addr},
    sized,
};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// hyper with nothing around it, on the same runtime as wasmserve.
    Bare,
    /// The same with one runtime per core.
    BarePerCore,
    /// The real server, without flags.
    Wasmserve,
    /// The same with a handler of wasi:http 0.2.
    WasmserveHttp2,
    /// The same with a handler of wasi:http 0.3.
    WasmserveHttp3,
    /// The same with a CGI program.
    WasmserveCgi,
    /// The same with `--ui`, so that every exchange is captured.
    WasmserveCaptured,
    /// `wasmtime serve` without flags that change its costs, for a component of WASI 0.2: a fresh instance per request.
    WasmtimeServe2,
    /// The same for a component of WASI 0.3: an instance answers up to 128 requests, up to 16 at the same time.
    WasmtimeServe3,
    /// The same with a fresh instance per request.
    WasmtimeServe3Fresh,
    /// The real server with an exported handler.
    WasmserveExported,
    /// `wasmtime serve` with an exported handler, without any flag.
    WasmtimeExported,
    /// nginx, which answers from its configuration, or with files.
    Nginx,
    /// Node's own `http`.
    Node,
    /// Gunicorn with two processes, each with one request at a time, and a WSGI function.
    Gunicorn,
    /// Caddy, which serves files.
    Caddy,
}

impl Contender {
    /// All that greet.
    pub const ALL: [Self; 15] = [
        Self::Bare,
        Self::BarePerCore,
        Self::Wasmserve,
        Self::WasmserveHttp2,
        Self::WasmserveHttp3,
        Self::WasmserveCgi,
        Self::WasmserveCaptured,
        Self::WasmserveExported,
        Self::WasmtimeServe2,
        Self::WasmtimeExported,
        Self::WasmtimeServe3,
        Self::WasmtimeServe3Fresh,
        Self::Nginx,
        Self::Node,
        Self::Gunicorn,
    ];

    /// All that serve files.
    pub const FILES: [Self; 3] = [Self::Wasmserve, Self::Nginx, Self::Caddy];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare hyper",
            Self::BarePerCore => "bare hyper, per core",
            Self::Wasmserve => "wasmserve",
            Self::WasmserveHttp2 => "wasmserve (p2)",
            Self::WasmserveHttp3 => "wasmserve (p3)",
            Self::WasmserveCgi => "wasmserve (CGI)",
            Self::WasmserveCaptured => "wasmserve (--ui)",
            Self::WasmserveExported => "wasmserve (exported)",
            Self::WasmtimeExported => "wasmtime serve (exported)",
            Self::WasmtimeServe2 => "wasmtime serve (p2)",
            Self::WasmtimeServe3 => "wasmtime serve (p3)",
            Self::WasmtimeServe3Fresh => "wasmtime serve (p3, fresh)",
            Self::Nginx => "nginx",
            Self::Node => "node http",
            Self::Gunicorn => "gunicorn sync ×2",
            Self::Caddy => "caddy",
        }
    }

    /// The external program that it needs.
    fn program(self) -> Option<&'static str> {
        match self {
            Self::Bare | Self::BarePerCore => None,
            Self::Wasmserve | Self::WasmserveHttp2 | Self::WasmserveHttp3 | Self::WasmserveCgi => None,
            Self::WasmserveCaptured | Self::WasmserveExported => None,
            Self::WasmtimeExported | Self::WasmtimeServe2 | Self::WasmtimeServe3 | Self::WasmtimeServe3Fresh => {
                Some("wasmtime")
            }
            Self::Nginx => Some("nginx"),
            Self::Node => Some("node"),
            Self::Gunicorn => Some("gunicorn"),
            Self::Caddy => Some("caddy"),
        }
    }

    /// Whether its program is on the PATH, if it needs one.
    #[must_use]
    pub fn is_there(self) -> bool {
        let is_in = |directory: PathBuf, name: &str| directory.join(name).is_file();
        let paths = env::var_os("PATH").unwrap_or_default();
        self.program().is_none_or(|name| env::split_paths(&paths).any(|directory| is_in(directory, name)))
    }
}

/// What is needed to start servers: a directory for their files, and the programs to measure.
pub struct Grid {
    place: Place,
    wasmserve: PathBuf,
}

impl Grid {
    /// Builds the server and the guests, unless another server is given.
    ///
    /// # Panics
    ///
    /// They do not build.
    #[must_use]
    pub fn new(wasmserve: Option<PathBuf>) -> Self {
        Self { place: Place::new(), wasmserve: wasmserve.unwrap_or_else(|| guest::server().into()) }
    }

    /// The directory.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// The file of a guest.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn guest(&self, name: &str) -> Result<PathBuf> {
        if name != LARGE {
            return Ok(guest::measured(name).into());
        }
        self.sized(10_000_000)
    }

    /// A component of about this many bytes.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn sized(&self, size: usize) -> Result<PathBuf> {
        let path = self.place.join(format!("sized-{size}.wasm"));
        if path.is_file() { Ok(path) } else { sized::write(size, &self.place) }
    }

    /// Starts a server, with a guest if it runs guests.
    ///
    /// # Errors
    ///
    /// It does not start. The error includes its output.
    pub fn start(&self, contender: Contender, guest: &str) -> Result<Process> {
        let addr = free_addr()?;
        let command = self.command(contender, guest, addr)?;
        self.launch(command, addr)
    }

    /// Starts the real server with these arguments.
    ///
    /// # Errors
    ///
    /// It does not start. The error includes its output.
    pub fn wasmserve(&self, words: &[String], cache: &Path) -> Result<Process> {
        let addr = free_addr()?;
        let mut command = Command::new(&self.wasmserve);
        command.args(["--addr", &addr.to_string()]).args(words).env("XDG_CACHE_HOME", cache);
        self.launch(command, addr)
    }

    fn launch(&self, command: Command, addr: SocketAddr) -> Result<Process> {
        Process::start(command, addr, &self.place.join("log"))
    }

    fn command(&self, contender: Contender, guest: &str, addr: SocketAddr) -> Result<Command> {
        let (at, port) = (addr.to_string(), addr.port().to_string());
        let mut command = Command::new(contender.program().unwrap_or_default());
        match contender {
            Contender::Bare | Contender::BarePerCore => {
                command = Command::new(env::current_exe().context("the path of this program is unknown")?);
                command.args(["bare", &port]);
                command.args((contender == Contender::BarePerCore).then_some("--per-core"));
            }
            Contender::Wasmserve | Contender::WasmserveHttp2 | Contender::WasmserveHttp3 | Contender::WasmserveCgi => {
                let guest = match contender {
                    Contender::WasmserveHttp2 => "greets_through_wasi_http",
                    Contender::WasmserveHttp3 => "greets_through_wasi_http_3",
                    Contender::WasmserveCgi => "greets_as_a_cgi_program",
                    _ => guest,
                };
                command = Command::new(&self.wasmserve);
                command.args(["--addr", &at]).arg(self.guest(guest)?).env("XDG_CACHE_HOME", place::shared_cache());
            }
            Contender::WasmserveCaptured => {
                command = Command::new(&self.wasmserve);
                command.args(["--addr", &at, "--ui=127.0.0.1:0"]).arg(self.guest(guest)?);
                command.env("XDG_CACHE_HOME", place::shared_cache());
            }
            Contender::WasmserveExported => {
                command = Command::new(&self.wasmserve);
                command.args(["--addr", &at]).arg(self.exported(guest)?).env("XDG_CACHE_HOME", place::shared_cache());
            }
            Contender::WasmtimeExported => {
                command.args(["serve", "--addr", &at]).arg(self.exported(guest)?);
            }
            Contender::WasmtimeServe2 => {
                command.args(["serve", "-Scli", "--addr", &at]).arg(self.guest("greets_through_wasi_http")?);
            }
            Contender::WasmtimeServe3 | Contender::WasmtimeServe3Fresh => {
                command.args(["serve", "-Scli", "--addr", &at]);
                let fresh = ["--max-instance-reuse-count", "1"];
                command.args(fresh.into_iter().filter(|_| contender == Contender::WasmtimeServe3Fresh));
                command.arg(self.guest("greets_through_wasi_http_3")?);
            }
            Contender::Nginx => self.nginx(&mut command, &at, r#"return 200 "Hello, World!\n""#)?,
            Contender::Node => {
                command.arg(self.file("hello.cjs", NODE)?).arg(&port);
            }
            Contender::Gunicorn => {
                self.file("hello.py", WSGI)?;
                command.args(["-w", "2", "-b", &at, "--access-logfile", "-", "hello:app"]).current_dir(&*self.place);
            }
            Contender::Caddy => bail!("caddy only serves files"),
        }
        Ok(command)
    }

    /// A guest as `wasmserve export` makes it.
    fn exported(&self, guest: &str) -> Result<PathBuf> {
        let path = self.place.join(format!("{guest}-http.wasm"));
        if !path.is_file() {
            let mut command = Command::new(&self.wasmserve);
            command.arg("export").arg(self.guest(guest)?).arg("-o").arg(&path);
            let output = command.output().context("cannot run wasmserve")?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(path)
    }

    /// The directory of files to serve.
    ///
    /// # Errors
    ///
    /// It cannot be created.
    pub fn site(&self) -> Result<PathBuf> {
        let site = self.place.join("site");
        fs::create_dir_all(&site)?;
        Ok(site)
    }

    /// Starts a server of these files.
    ///
    /// # Errors
    ///
    /// It does not start, or cannot serve files. The error includes its output.
    pub fn start_files(&self, contender: Contender) -> Result<Process> {
        let (addr, site) = (free_addr()?, self.site()?);
        let at = addr.to_string();
        let mut command = Command::new(contender.program().unwrap_or_default());
        match contender {
            Contender::Wasmserve => {
                command = Command::new(&self.wasmserve);
                command.args(["--addr", &at]).arg(&site).env("XDG_CACHE_HOME", place::shared_cache());
            }
            Contender::Nginx => self.nginx(&mut command, &at, &format!("root {}", site.display()))?,
            Contender::Caddy => {
                command
                    .args(["file-server", "--access-log", "--listen", &at, "--root"])
                    .arg(&site)
                    .env("HOME", &*self.place);
            }
            other => bail!("{} does not serve files", other.name()),
        }
        self.launch(command, addr)
    }

    fn nginx(&self, command: &mut Command, at: &str, answers: &str) -> Result<()> {
        let directory = self.place.display().to_string();
        let configuration = NGINX.replace("ADDR", at).replace("DIRECTORY", &directory).replace("ANSWERS", answers);
        command.arg("-c").arg(self.file("nginx.conf", &configuration)?).args(["-e", "stderr"]);
        Ok(())
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.place.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}

/// An nginx that logs and answers like the others.
const NGINX: &str = r#"
daemon off;
worker_processes auto;
pid DIRECTORY/nginx.pid;
events { worker_connections 2048; }
http {
  access_log DIRECTORY/nginx.log;
  client_body_temp_path DIRECTORY/body;
  proxy_temp_path DIRECTORY/proxy;
  fastcgi_temp_path DIRECTORY/fastcgi;
  uwsgi_temp_path DIRECTORY/uwsgi;
  scgi_temp_path DIRECTORY/scgi;
  default_type text/plain;
  sendfile on;
  server { listen ADDR; location / { ANSWERS; } }
}
"#;

const NODE: &str = r#"
const body = "Hello, World!\n";
require("node:http").createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": body.length });
  response.end(body);
}).listen(Number(process.argv[2]), "127.0.0.1");
"#;

const WSGI: &str = r#"
def app(environ, start_response):
    data = b"Hello, World!\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
    return [data]
"#;
