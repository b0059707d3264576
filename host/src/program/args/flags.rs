//! The flags of the commands that serve handlers.

use std::{io, net::SocketAddr, path::PathBuf, str::FromStr as _, sync::Arc, time::Duration};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use http::HeaderValue;
use wasmserve_gateway::{
    environ::{SOFTWARE, Variable},
    forwarded::Proxies,
    mounts::{Mount, Mounts},
};

use super::{
    capture::CaptureArgs,
    directory::DirectoryArgs,
    env_file,
    lifecycle::LifecycleArgs,
    listen::ListenArgs,
    scope::{Scoped, Values, scoped},
    value, wrap,
};
use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        grants::{Allowance, Dir, Grants, Net},
        limits::{ConcurrencyLimits, EngineLimits, Limits},
        options::GatewayOptions,
        size,
    },
    capture::store::CaptureOptions,
    kind::wasm::{compile::CompileOptions, component},
    listen::access_log::format::Format,
    program::config::{self, Config, Mounted},
    source::{
        build::options::{BuildOptions, Messages},
        filter::Wrap,
        locate::Named,
    },
    viewer::ViewerOptions,
};

/// The heading of the flags that grant something.
const GRANTS: &str = "Grants: a handler has access to nothing else";

/// The flags of the commands that serve handlers.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    directory: DirectoryArgs,

    /// Read request bodies up to this size before calling the handler, so that chunked ones have a CONTENT_LENGTH too
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.buffer_body), value_parser = scoped(size::parse))]
    buffer_body: Vec<Scoped<u64>>,

    /// Proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted: addresses, networks, or * for all
    #[arg(long, value_name = "IP[/BITS],..", value_delimiter = ',')]
    forwarded_allow_ips: Vec<Proxies>,

    /// Whether the host answers `OPTIONS *` itself or passes it to the handler
    #[arg(long, value_name = "TARGET", value_enum, default_value = "host")]
    asterisk: Asterisk,

    /// Treat a client that closes its sending side as disconnected, instead of answering it
    #[arg(long)]
    abort_on_half_close: bool,

    /// SERVER_NAME in the environ, instead of the address that the client connected to
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    server_name: Option<String>,

    /// Value of the Server header field in responses; omitted if empty
    #[arg(long, value_name = "TEXT", default_value = SOFTWARE, value_parser = value::server_header)]
    server_header: HeaderValue,

    /// SO_LINGER of connections; 0s resets them on close, which may lose the end of a response
    #[arg(long, value_name = "DURATION", value_parser = value::linger)]
    linger: Option<Duration>,

    /// Log what is unusual or wrong in each request, with the RFC's section
    #[arg(long)]
    lint: bool,

    /// Show clients why and where a handler failed
    #[arg(long)]
    debug: bool,

    /// Do not reload handlers when their files change
    #[arg(long)]
    no_watch: bool,

    /// Do not replay requests that are kept when a handler is replaced
    #[arg(long)]
    no_replay_on_save: bool,

    /// Serve Prometheus metrics at http://IP:PORT/metrics (loopback only)
    #[arg(long, value_name = "[IP:]PORT", value_parser = value::loopback)]
    stats: Option<SocketAddr>,

    /// Show every exchange in a browser; without a handler, answer everything
    #[arg(long, value_name = "[IP:]PORT", num_args = 0..=1, require_equals = true, value_parser = value::loopback)]
    ui: Option<Option<SocketAddr>>,

    /// Other names of this machine under which browsers reach the viewer
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', requires = "ui", value_parser = value::viewer_host)]
    ui_host: Vec<String>,

    /// How much memory captured exchanges may use; beyond it, the oldest are removed
    #[arg(long, value_name = "SIZE", default_value = size::text(CaptureOptions::DEFAULT.memory as u64), requires = "ui", value_parser = value::capture_memory)]
    ui_memory: usize,

    #[command(flatten)]
    capture: CaptureArgs,

    /// Format of the log on stderr [default: terminal at a terminal, else basehttp]
    #[arg(long, value_name = "FORMAT", value_enum)]
    access_log_format: Option<AccessLogFormat>,

    /// Show the server's address as a QR code, for a phone in the same network (with --addr 0.0.0.0)
    #[arg(long, help_heading = "Lifecycle")]
    qr: bool,

    #[command(flatten)]
    lifecycle: LifecycleArgs,

    /// How long a handler may take for a request
    #[arg(long, value_name = "DURATION|none", default_value = value::duration_text(Limits::DEFAULT.timeout), value_parser = scoped(value::limit), help_heading = "Limits")]
    timeout: Vec<Scoped<Duration>>,

    /// How much processor time a handler may use for a request
    #[arg(long, value_name = "DURATION|none", default_value = value::duration_text(Limits::DEFAULT.cpu_time), value_parser = scoped(value::limit), help_heading = "Limits")]
    cpu_time: Vec<Scoped<Duration>>,

    /// How much memory an instance may use
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.memory), value_parser = scoped(size::parse), help_heading = "Limits")]
    max_memory: Vec<Scoped<u64>>,

    /// How much memory all instances may use together
    #[arg(long, value_name = "SIZE", default_value = size::text(EngineLimits::DEFAULT.memory), value_parser = size::parse, help_heading = "Limits")]
    max_total_memory: u64,

    /// Size of a handler's stack, which limits how deeply its calls may be nested
    #[arg(long, value_name = "SIZE", default_value = size::text(EngineLimits::DEFAULT.stack as u64), value_parser = value::stack_size, help_heading = "Limits")]
    max_stack: usize,

    /// How much a handler may pass to the host in one call [default: as much as fits into its memory]
    #[arg(long, value_name = "SIZE", value_parser = scoped(size::parse), help_heading = "Limits")]
    max_arguments: Vec<Scoped<u64>>,

    /// How many handles (files, streams and so on) a handler may have open
    #[arg(long, value_name = "NUMBER", default_value = Limits::DEFAULT.handles.to_string(), value_parser = scoped(value::number::<usize>), help_heading = "Limits")]
    max_handles: Vec<Scoped<usize>>,

    /// How much a handler may write to the log for a request
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.log as u64), value_parser = scoped(value::log_size), help_heading = "Limits")]
    max_log: Vec<Scoped<usize>>,

    /// How long a line of a handler's log may be
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.log_line as u64), value_parser = scoped(value::log_size), help_heading = "Limits")]
    max_log_line: Vec<Scoped<usize>>,

    /// How large a component's file may be
    #[arg(long, value_name = "SIZE", default_value = size::text(component::SIZE_MAX), value_parser = size::parse, help_heading = "Limits")]
    max_component: u64,

    /// How many handlers may run at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = EngineLimits::DEFAULT.instances, value_parser = value::exchanges, help_heading = "Limits")]
    max_exchanges: usize,

    /// How many handlers may compute at the same time [default: 32 per core]
    #[arg(long, value_name = "NUMBER", value_parser = value::exchanges, help_heading = "Limits")]
    max_computing: Option<usize>,

    /// How many requests may wait until a handler may run; further ones get a 503 at once
    #[arg(long, value_name = "NUMBER", default_value_t = ConcurrencyLimits::DEFAULT_QUEUE, value_parser = value::number::<usize>, help_heading = "Limits")]
    max_queue: usize,

    /// How long a request may wait before it gets a 503; it gets one at once if the estimated wait exceeds half of this
    #[arg(long, value_name = "DURATION|none", default_value = value::duration_text(ConcurrencyLimits::DEFAULT_QUEUE_WAIT), value_parser = value::limit, help_heading = "Limits")]
    queue_wait: Duration,

    /// How large a request body may be
    #[arg(long, value_name = "SIZE|none", default_value = size::text(Limits::DEFAULT.body), value_parser = scoped(value::size_limit), help_heading = "Limits")]
    max_body: Vec<Scoped<u64>>,

    /// How large a request's head may be: the request line and the header fields
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.head), value_parser = value::head_size, help_heading = "Limits")]
    max_head: u64,

    /// How long a request's target may be
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.target as u64), value_parser = value::head_size, help_heading = "Limits")]
    max_target: u64,

    /// How many header fields a request or a response may have
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::DEFAULT.fields, value_parser = value::fields, help_heading = "Limits")]
    max_fields: usize,

    /// How long a client may take to send a head
    #[arg(long, value_name = "DURATION|none", default_value = value::duration_text(Limits::DEFAULT.head_timeout), value_parser = value::limit, help_heading = "Limits")]
    head_timeout: Duration,

    /// How long a client may send nothing while the handler waits for the body
    #[arg(long, value_name = "DURATION|none", default_value = value::duration_text(Limits::DEFAULT.body_timeout), value_parser = value::limit, help_heading = "Limits")]
    body_timeout: Duration,

    /// How long a client may read nothing of its response
    #[arg(long, value_name = "DURATION|none", default_value = value::duration_text(Limits::DEFAULT.write_timeout), value_parser = value::limit, help_heading = "Limits")]
    write_timeout: Duration,

    /// How many bytes a second a client must send or read while the server waits for it, measured over 5s and then over
    /// 30s
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::DEFAULT.rate, value_parser = value::number::<u32>, help_heading = "Limits")]
    min_rate: u32,

    /// How long a connection may be idle between two requests
    #[arg(long, value_name = "DURATION|none", default_value = value::duration_text(Limits::DEFAULT.keep_alive), value_parser = value::limit, help_heading = "Limits")]
    keep_alive: Duration,

    /// How long requests in progress and the command of --exec may continue when the server stops
    #[arg(long, value_name = "DURATION|none", default_value = value::duration_text(config::DRAIN), value_parser = value::limit, help_heading = "Limits")]
    drain: Duration,

    /// How many connections may be open at the same time; further ones wait [default: 1024, or fewer if file
    /// descriptors are limited]
    #[arg(long, value_name = "NUMBER", value_parser = value::connections, help_heading = "Limits")]
    max_connections: Option<usize>,

    /// How long compiling a handler may take
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(CompileOptions::DEFAULT_TIMEOUT), value_parser = value::duration, help_heading = "Limits")]
    compile_timeout: Duration,

    /// How much memory compiling a handler may use
    #[arg(long, value_name = "SIZE", default_value = size::text(CompileOptions::DEFAULT_MEMORY), value_parser = size::parse, help_heading = "Limits")]
    compile_memory: u64,

    /// Put a filter in front: `auth,token=T`, cors, delay-and-fail, or a file
    #[arg(long, value_name = "FILTER", value_parser = scoped(wrap::parse))]
    wrap: Vec<Scoped<Wrap>>,

    /// Pass an argument to the handler; it may begin with `-`, and the flag may be repeated
    #[arg(long, value_name = "WORD", allow_hyphen_values = true, value_parser = scoped(value::word))]
    arg: Vec<Scoped<String>>,

    /// Give the handler a variable; without a value, the server's own
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = scoped(value::variable), help_heading = GRANTS)]
    env: Vec<Scoped<Variable>>,

    /// Add the variables of a file with lines of NAME=VALUE, such as .env
    #[arg(long, value_name = "FILE", value_parser = scoped(env_file::read), help_heading = GRANTS)]
    env_file: Vec<Scoped<Vec<Variable>>>,

    /// Give the handler access to a directory; read-only with `:ro`
    #[arg(long, value_name = "HOST::GUEST[:ro]", value_parser = scoped(Dir::from_str), help_heading = GRANTS)]
    dir: Vec<Scoped<Dir>>,

    /// Let the handler connect and send requests to an address
    #[arg(long, value_name = "HOST:PORT", value_parser = scoped(Net::from_str), help_heading = GRANTS)]
    allow_net: Vec<Scoped<Net>>,

    /// The limits among the flags that the user gave.
    #[arg(skip)]
    pub(super) limits: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Asterisk {
    Host,
    App,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccessLogFormat {
    Terminal,
    Basehttp,
    Common,
    Combined,
    Json,
    None,
}

impl Flags {
    /// Whether there is a viewer.
    pub(super) fn has_viewer(&self) -> bool {
        self.ui.is_some()
    }

    /// The options for compiling components. `program` is the path of this program.
    pub(super) fn compile(&self, program: PathBuf) -> CompileOptions {
        let engine_limits = EngineLimits {
            memory: self.max_total_memory,
            instances: self.max_exchanges,
            stack: self.max_stack,
            lines: self.debug,
        };
        CompileOptions { program, timeout: self.compile_timeout, memory: self.compile_memory, engine_limits }
    }

    /// Whether the user has chosen a format of the log.
    pub(super) fn has_access_log(&self) -> bool {
        self.access_log_format.is_some()
    }

    /// Converts the flags into the configuration of a server for these handlers.
    ///
    /// # Errors
    ///
    /// Two flags contradict each other, a flag is for a mount that does not exist, its value for a mount is invalid, or it is given twice
    /// ([`Exit::Usage`](crate::base::exit::Exit::Usage)).
    pub(super) fn into_config(self, handlers: Mounts<Named>, compile: CompileOptions) -> Result<Config, StartError> {
        let limits = Limits {
            head: self.max_head,
            target: usize::try_from(self.max_target).unwrap_or(usize::MAX),
            fields: self.max_fields,
            head_timeout: self.head_timeout,
            body_timeout: self.body_timeout,
            write_timeout: self.write_timeout,
            rate: self.min_rate,
            keep_alive: self.keep_alive,
            ..Limits::DEFAULT
        };
        self.directory.check(&handlers)?;
        let buffer_body = Values::once("--buffer-body", self.buffer_body, &handlers)?;
        let timeout = Values::once("--timeout", self.timeout, &handlers)?;
        let cpu_time = Values::once("--cpu-time", self.cpu_time, &handlers)?;
        let memory = Values::once("--max-memory", self.max_memory, &handlers)?;
        let arguments = Values::once("--max-arguments", self.max_arguments, &handlers)?;
        let handles = Values::once("--max-handles", self.max_handles, &handlers)?;
        let log = Values::once("--max-log", self.max_log, &handlers)?;
        let log_line = Values::once("--max-log-line", self.max_log_line, &handlers)?;
        let body = Values::once("--max-body", self.max_body, &handlers)?;
        let granted = Granted {
            args: Values::new("--arg", self.arg, &handlers)?,
            env: Values::new("--env", self.env, &handlers)?,
            env_files: Values::new("--env-file", self.env_file, &handlers)?,
            dirs: Values::new("--dir", self.dir, &handlers)?,
            net: Values::new("--allow-net", self.allow_net, &handlers)?,
        };
        let wraps = Values::new("--wrap", self.wrap, &handlers)?;
        let grants = granted.lines(handlers.iter().map(|(mount, _)| mount));
        let handlers = handlers.try_map(|mount, named| {
            let limits = Limits {
                timeout: timeout.of(mount).unwrap_or(limits.timeout),
                cpu_time: cpu_time.of(mount).unwrap_or(limits.cpu_time),
                memory: memory.of(mount).unwrap_or(limits.memory),
                arguments: arguments.of(mount),
                handles: handles.of(mount).unwrap_or(limits.handles),
                log: log.of(mount).unwrap_or(limits.log),
                log_line: log_line.of(mount).unwrap_or(limits.log_line),
                body: body.of(mount).unwrap_or(limits.body),
                buffer_body: buffer_body.of(mount).unwrap_or(limits.buffer_body),
                ..limits.clone()
            };
            let allowance = Allowance { limits, grants: granted.to(mount) };
            let (filters, files) = (wraps.all(mount).cloned().collect(), self.directory.of(mount));
            Ok::<_, StartError>(Mounted { named, filters, allowance: Arc::new(allowance), files })
        })?;
        let ui = match self.ui {
            Some(addr) => {
                let token = value::viewer_token().map_err(anyhow::Error::msg).or_exit(Exit::Usage)?;
                Some(ViewerOptions { addr, flag: "--ui", hosts: self.ui_host, token })
            }
            None => None,
        };
        Ok(Config {
            handlers,
            grants,
            limits,
            is_narrowed: self.listen.is_narrowed(),
            addr: self.listen.address()?,
            gateway: GatewayOptions {
                lint: self.lint,
                debug: self.debug,
                asterisk_to_handler: self.asterisk == Asterisk::App,
                abort_on_half_close: self.abort_on_half_close,
                server_name: self.server_name,
                trusted_proxies: self.forwarded_allow_ips,
                server: Some(self.server_header).filter(|server| !server.is_empty()),
            },
            lifecycle: self.lifecycle.into_options(),
            linger: self.linger,
            stats: self.stats,
            access_log: match self.access_log_format {
                None if value::is_terminal() => Format::Terminal { color: value::is_colorful(&io::stderr()) },
                Some(AccessLogFormat::Terminal) => Format::Terminal { color: value::is_colorful(&io::stderr()) },
                None | Some(AccessLogFormat::Basehttp) => Format::BaseHttp,
                Some(AccessLogFormat::Common) => Format::Common,
                Some(AccessLogFormat::Combined) => Format::Combined,
                Some(AccessLogFormat::Json) => Format::Json,
                Some(AccessLogFormat::None) => Format::None,
            },
            capture: self.capture.options(ui.is_some().then_some(self.ui_memory)),
            ui,
            archive: self.capture.archive(),
            redaction: self.capture.redaction(),
            limits_given: self.limits,
            qr: self.qr,
            concurrency: ConcurrencyLimits {
                exchanges: self.max_exchanges,
                computing: self.max_computing.unwrap_or(ConcurrencyLimits::of_this_machine().computing),
                queue: self.max_queue,
                queue_wait: self.queue_wait,
            },
            engine_limits: compile.engine_limits.clone(),
            build: BuildOptions {
                lines: self.debug,
                messages: Messages::Stderr { color: value::is_colorful(&io::stderr()) },
            },
            watch: !self.no_watch,
            replays_on_save: !self.no_replay_on_save,
            component: self.max_component,
            drain: self.drain,
            connections: self.max_connections,
            compile,
        })
    }
}

/// What is granted to all handlers, and to single ones.
struct Granted {
    args: Values<String>,
    env: Values<Variable>,
    env_files: Values<Vec<Variable>>,
    dirs: Values<Dir>,
    net: Values<Net>,
}

impl Granted {
    /// What is granted to all handlers.
    fn general(&self) -> Grants {
        let mut grants = Grants { args: self.args.general().cloned().collect(), ..Grants::default() };
        self.env_files.general().flatten().chain(self.env.general()).for_each(|variable| grants.add_variable(variable));
        self.dirs.general().for_each(|dir| grants.add_dir(dir));
        grants.net.extend(self.net.general().cloned());
        grants
    }

    /// Adds what is granted only to the handler at this mount. What contradicts something in `grants` replaces it.
    fn add_own(&self, mount: &Mount, grants: &mut Grants) {
        grants.args.extend(self.args.own(mount).cloned());
        let files = self.env_files.own(mount).flatten();
        files.chain(self.env.own(mount)).for_each(|variable| grants.add_variable(variable));
        self.dirs.own(mount).for_each(|dir| grants.add_dir(dir));
        grants.net.extend(self.net.own(mount).cloned());
    }

    /// What is granted to the handler at this mount.
    fn to(&self, mount: &Mount) -> Grants {
        let mut grants = self.general();
        self.add_own(mount, &mut grants);
        grants
    }

    /// A line for each grant, as one would write it on the command line.
    fn lines<'a>(&self, mounts: impl Iterator<Item = &'a Mount>) -> Vec<String> {
        let mut lines = self.general().lines("");
        for mount in mounts {
            let mut own = Grants::default();
            self.add_own(mount, &mut own);
            lines.extend(own.lines(&format!("{mount}:")));
        }
        lines
    }
}
