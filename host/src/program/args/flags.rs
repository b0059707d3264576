//! The flags of all that serves.

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use http::HeaderValue;
use wasmserve_gateway::{
    environ::{SOFTWARE, Variable},
    mounts::Mounts,
};

use super::value;
use crate::{
    base::{
        grants::{Dir, Grants, Net},
        limits::{ConcurrencyLimits, EngineLimits, Limits},
        options::GatewayOptions,
        size,
    },
    kind::wasm::{compile::CompileOptions, component},
    lifecycle::options::LifeOptions,
    listen::access_log::format::Format,
    program::config::{self, Config},
    source::{build::options::BuildOptions, locate::Named},
};

/// How to serve.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Where to listen; port 0 picks a free one; not used where a socket is passed (LISTEN_FDS)
    #[arg(long, value_name = "HOST:PORT", default_value = config::ADDR)]
    addr: String,

    /// Read request bodies up to this length before the handler begins, so that even one in chunks has a CONTENT_LENGTH
    #[arg(long, value_name = "SIZE", default_value = size::text(GatewayOptions::DEFAULT.buffer_body), value_parser = size::parse)]
    buffer_body: u64,

    /// Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed
    #[arg(long, value_name = "IP,..", value_delimiter = ',', value_parser = value::proxy)]
    forwarded_allow_ips: Vec<IpAddr>,

    /// Who answers `OPTIONS *`: the host, or the handler as any other request
    #[arg(long, value_name = "WHO", value_enum, default_value = "host")]
    asterisk: Asterisk,

    /// Take a client that ends its side of the connection for gone, instead of answering it
    #[arg(long)]
    abort_on_half_close: bool,

    /// The SERVER_NAME of the environ, instead of the address that the client has connected to
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    server_name: Option<String>,

    /// The Server field of responses; an empty text leaves it out
    #[arg(long, value_name = "TEXT", default_value = SOFTWARE, value_parser = value::server_header)]
    server_header: HeaderValue,

    /// SO_LINGER for connections; 0s resets them when they are closed, which may lose the end of a response
    #[arg(long, value_name = "DURATION", value_parser = value::linger)]
    linger: Option<Duration>,

    /// Tell what is unusual or wrong in each request, with the clause of the RFC
    #[arg(long)]
    lint: bool,

    /// Tell clients why a handler failed and where, on a page that they accept: HTML, JSON or text
    #[arg(long)]
    debug: bool,

    /// Go on with the handlers of the start when their files or sources change
    #[arg(long)]
    no_watch: bool,

    /// Where to tell what the server has done, at `/metrics` in the format of Prometheus; an address of this machine only
    #[arg(long, value_name = "IP:PORT", value_parser = value::loopback)]
    stats: Option<SocketAddr>,

    /// How exchanges are logged on stderr
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "basehttp")]
    access_log_format: AccessLogFormat,

    /// Stop after the first exchange; the exit code tells how it ended
    #[arg(long, conflicts_with = "requests", help_heading = "Life")]
    once: bool,

    /// Stop after so many exchanges; the exit code tells whether all were answered
    #[arg(long, value_name = "NUMBER", value_parser = value::times, help_heading = "Life")]
    requests: Option<u64>,

    /// Stop after this time, whatever happens
    #[arg(long, value_name = "DURATION", value_parser = value::duration, help_heading = "Life")]
    ttl: Option<Duration>,

    /// Stop when there was no exchange for this time
    #[arg(long, value_name = "DURATION", value_parser = value::duration, help_heading = "Life")]
    idle_exit: Option<Duration>,

    /// Run a command in the shell, with WASMSERVE_URL in its environment; stop when it ends, with its exit code
    #[arg(long, value_name = "COMMAND", help_heading = "Life")]
    exec: Option<OsString>,

    /// Show it in the browser: $BROWSER, or the system's
    #[arg(long, help_heading = "Life")]
    open: bool,

    /// Write the port into a file, which is there as long as the server listens
    #[arg(long, value_name = "FILE", help_heading = "Life")]
    port_file: Option<PathBuf>,

    /// How long the handler may run for one request
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(Limits::DEFAULT.timeout), value_parser = value::duration, help_heading = "Limits")]
    timeout: Duration,

    /// How long it may compute in that time
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(Limits::DEFAULT.cpu_time), value_parser = value::duration, help_heading = "Limits")]
    cpu_time: Duration,

    /// How much memory one instance may use: the sum of its memories and tables
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.memory), value_parser = size::parse, help_heading = "Limits")]
    max_memory: u64,

    /// How much memory all instances may use together
    #[arg(long, value_name = "SIZE", default_value = size::text(EngineLimits::DEFAULT.memory), value_parser = size::parse, help_heading = "Limits")]
    max_total_memory: u64,

    /// How deep the calls of a handler may be nested: the octets of its stack
    #[arg(long, value_name = "SIZE", default_value = size::text(EngineLimits::DEFAULT.stack as u64), value_parser = value::stack_size, help_heading = "Limits")]
    max_stack: usize,

    /// How much a handler may pass to the host in one call; as much as fits into its memory if not given
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = "Limits")]
    max_arguments: Option<u64>,

    /// How many handles on files, streams and the like a handler may have
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::DEFAULT.handles, value_parser = value::number::<usize>, help_heading = "Limits")]
    max_handles: usize,

    /// How much a handler may write into the log for one request
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.log as u64), value_parser = value::log_size, help_heading = "Limits")]
    max_log: usize,

    /// How long one line of that may be
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.log_line as u64), value_parser = value::log_size, help_heading = "Limits")]
    max_log_line: usize,

    /// How large a handler's file may be
    #[arg(long, value_name = "SIZE", default_value = size::text(component::SIZE_MAX), value_parser = size::parse, help_heading = "Limits")]
    max_component: u64,

    /// How many handlers may run at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = EngineLimits::DEFAULT.instances, value_parser = value::exchanges, help_heading = "Limits")]
    max_exchanges: usize,

    /// How many handlers may compute at the same time; 32 for each core if not given
    #[arg(long, value_name = "NUMBER", value_parser = value::exchanges, help_heading = "Limits")]
    max_computing: Option<usize>,

    /// How many requests may wait for a handler that may run; more get a 503 at once
    #[arg(long, value_name = "NUMBER", default_value_t = ConcurrencyLimits::DEFAULT_QUEUE, value_parser = value::number::<usize>, help_heading = "Limits")]
    max_queue: usize,

    /// How long a request may wait for that before it gets a 503; at once if the queue is too slow for half of that
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(ConcurrencyLimits::DEFAULT_QUEUE_WAIT), value_parser = value::duration, help_heading = "Limits")]
    queue_wait: Duration,

    /// How long a request body may be
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.body), value_parser = size::parse, help_heading = "Limits")]
    max_body: u64,

    /// How long a request's head may be: its first line and its fields
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.head), value_parser = value::head_size, help_heading = "Limits")]
    max_head: u64,

    /// How long a request's target may be
    #[arg(long, value_name = "SIZE", default_value = size::text(Limits::DEFAULT.target as u64), value_parser = value::head_size, help_heading = "Limits")]
    max_target: u64,

    /// How many fields a request or a response may have
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::DEFAULT.fields, value_parser = value::fields, help_heading = "Limits")]
    max_fields: usize,

    /// How long a client may take to send a head
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(Limits::DEFAULT.head_timeout), value_parser = value::duration, help_heading = "Limits")]
    head_timeout: Duration,

    /// How long a client may send nothing while the handler waits for the body
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(Limits::DEFAULT.body_timeout), value_parser = value::duration, help_heading = "Limits")]
    body_timeout: Duration,

    /// How long a client may take nothing of its response
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(Limits::DEFAULT.write_timeout), value_parser = value::duration, help_heading = "Limits")]
    write_timeout: Duration,

    /// How many octets a second a client has to send or take while it is waited for, measured over 5s and then over 30s
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::DEFAULT.rate, value_parser = value::number::<u32>, help_heading = "Limits")]
    min_rate: u32,

    /// How long a connection may be idle between two requests
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(Limits::DEFAULT.keep_alive), value_parser = value::duration, help_heading = "Limits")]
    keep_alive: Duration,

    /// How long the running exchanges, and the command of --exec, may go on when the server stops
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(config::DRAIN), value_parser = value::duration, help_heading = "Limits")]
    drain: Duration,

    /// How many connections may be open at the same time; more wait until one ends [default: 1024, or as many as there are
    /// file descriptors for]
    #[arg(long, value_name = "NUMBER", value_parser = value::connections, help_heading = "Limits")]
    max_connections: Option<usize>,

    /// How long compiling a handler may take
    #[arg(long, value_name = "DURATION", default_value = value::duration_text(CompileOptions::DEFAULT_TIMEOUT), value_parser = value::duration, help_heading = "Limits")]
    compile_timeout: Duration,

    /// How much memory compiling a handler may use
    #[arg(long, value_name = "SIZE", default_value = size::text(CompileOptions::DEFAULT_MEMORY), value_parser = size::parse, help_heading = "Limits")]
    compile_memory: u64,

    /// Compile what comes in on stdin, for a server that waits for it
    #[arg(long, hide = true)]
    pub(super) compile_only: bool,

    /// Add a variable to the environ and to the handler's environment
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Grants: a handler may touch nothing else")]
    env: Vec<Variable>,

    /// Let the handler use a directory; with `:ro` it may only read
    #[arg(long, value_name = "HOST::GUEST[:ro]", help_heading = "Grants: a handler may touch nothing else")]
    dir: Vec<Dir>,

    /// Let the handler connect or send requests to an address
    #[arg(long, value_name = "HOST:PORT", help_heading = "Grants: a handler may touch nothing else")]
    allow_net: Vec<Net>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Asterisk {
    Host,
    App,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccessLogFormat {
    Basehttp,
    Common,
    Combined,
    Json,
    None,
}

impl Flags {
    /// How components are compiled, by this program.
    pub(super) fn compile(&self, program: PathBuf) -> CompileOptions {
        let engine_limits = EngineLimits {
            memory: self.max_total_memory,
            instances: self.max_exchanges,
            stack: self.max_stack,
            lines: self.debug,
        };
        CompileOptions { program, timeout: self.compile_timeout, memory: self.compile_memory, engine_limits }
    }

    /// What they make of a server for these handlers.
    pub(super) fn into_config(self, handlers: Mounts<Named>, compile: CompileOptions) -> Config {
        Config {
            handlers,
            addr: self.addr,
            limits: Limits {
                timeout: self.timeout,
                cpu_time: self.cpu_time,
                memory: self.max_memory,
                arguments: self.max_arguments,
                handles: self.max_handles,
                log: self.max_log,
                log_line: self.max_log_line,
                body: self.max_body,
                head: self.max_head,
                target: usize::try_from(self.max_target).unwrap_or(usize::MAX),
                fields: self.max_fields,
                head_timeout: self.head_timeout,
                body_timeout: self.body_timeout,
                write_timeout: self.write_timeout,
                rate: self.min_rate,
                keep_alive: self.keep_alive,
            },
            gateway: GatewayOptions {
                lint: self.lint,
                debug: self.debug,
                asterisk_to_handler: self.asterisk == Asterisk::App,
                abort_on_half_close: self.abort_on_half_close,
                server_name: self.server_name,
                buffer_body: self.buffer_body,
                trusted_proxies: self.forwarded_allow_ips.iter().map(IpAddr::to_canonical).collect(),
                server: Some(self.server_header).filter(|server| !server.is_empty()),
            },
            life: LifeOptions {
                exchanges: if self.once { Some(1) } else { self.requests },
                ttl: self.ttl,
                idle: self.idle_exit,
                exec: self.exec,
                open: self.open,
                port_file: self.port_file,
            },
            linger: self.linger,
            stats: self.stats,
            access_log: match self.access_log_format {
                AccessLogFormat::Basehttp => Format::BaseHttp,
                AccessLogFormat::Common => Format::Common,
                AccessLogFormat::Combined => Format::Combined,
                AccessLogFormat::Json => Format::Json,
                AccessLogFormat::None => Format::None,
            },
            concurrency: ConcurrencyLimits {
                exchanges: self.max_exchanges,
                computing: self.max_computing.unwrap_or(ConcurrencyLimits::of_this_machine().computing),
                queue: self.max_queue,
                queue_wait: self.queue_wait,
            },
            engine_limits: compile.engine_limits.clone(),
            build: BuildOptions { lines: self.debug, color: value::is_colorful() },
            watch: !self.no_watch,
            component: self.max_component,
            drain: self.drain,
            connections: self.max_connections,
            compile,
            grants: Grants { env: self.env, dirs: self.dir, net: self.allow_net },
        }
    }
}
