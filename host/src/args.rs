//! What the user typed. Nothing after [`Config`] sees it.

use std::{
    env,
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Parser, ValueEnum, builder::NonEmptyStringValueParser, error::ErrorKind};
use http::HeaderValue;

use crate::{
    config::{AccessLog, Compile, Config, Crowd, Dir, Gateway, Grants, Limits, Net, Room, Task, Variable},
    exit::{Exit, StartError},
    gateway::{
        environ::SOFTWARE,
        mounts::{Mount, Mounts},
    },
    handler::INSTANCES_MAX,
};

/// Serve a wasm component, with a fresh instance for every request.
#[derive(Debug, Parser)]
#[command(name = "wasmserve", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Args {
    /// The handler: a component that exports `wasmserve:gateway/handler`
    #[arg(value_name = "HANDLER.WASM", required_unless_present_any = ["mount", "compile_only"])]
    handler: Option<PathBuf>,

    /// Serve another handler for a path and all below it; the longest path wins
    #[arg(long, value_name = "PATH=HANDLER.WASM", value_parser = mount)]
    mount: Vec<(Mount, PathBuf)>,

    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8000")]
    addr: String,

    /// Read request bodies up to this length before the handler begins, so that even one in chunks has a CONTENT_LENGTH
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
    buffer_body: u64,

    /// Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed
    #[arg(long, value_name = "IP,..", value_delimiter = ',')]
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
    #[arg(long, value_name = "TEXT", default_value = SOFTWARE, value_parser = server_header)]
    server_header: HeaderValue,

    /// SO_LINGER for connections; 0s resets them when they are closed, which may lose the end of a response
    #[arg(long, value_name = "DURATION", value_parser = linger)]
    linger: Option<Duration>,

    /// Tell what is unusual or wrong in each request, with the clause of the RFC
    #[arg(long)]
    lint: bool,

    /// Tell clients why a handler failed and where, on a page that they accept: HTML, JSON or text
    #[arg(long)]
    debug: bool,

    /// Where to tell what the server has done, at `/metrics` in the format of Prometheus; an address of this machine only
    #[arg(long, value_name = "IP:PORT", value_parser = loopback)]
    stats: Option<SocketAddr>,

    /// How exchanges are logged on stderr
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "basehttp")]
    access_log_format: AccessLogFormat,

    /// How long the handler may run for one request
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, help_heading = "Limits")]
    timeout: Duration,

    /// How long it may compute in that time
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, help_heading = "Limits")]
    cpu_time: Duration,

    /// How much memory one instance may use: the sum of its memories and tables
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size, help_heading = "Limits")]
    max_memory: u64,

    /// How much memory all instances may use together
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size, help_heading = "Limits")]
    max_total_memory: u64,

    /// How deep the calls of a handler may be nested: the octets of its stack
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = stack_size, help_heading = "Limits")]
    max_stack: usize,

    /// How much a handler may pass to the host in one call; as much as fits into its memory if not given
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Limits")]
    max_arguments: Option<u64>,

    /// How many handles on files, streams and the like a handler may have
    #[arg(long, value_name = "NUMBER", default_value = "1000", help_heading = "Limits")]
    max_handles: usize,

    /// How much a handler may write into the log for one request
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = log_size, help_heading = "Limits")]
    max_log: usize,

    /// How long one line of that may be
    #[arg(long, value_name = "SIZE", default_value = "8KiB", value_parser = log_size, help_heading = "Limits")]
    max_log_line: usize,

    /// How large a handler's file may be
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size, help_heading = "Limits")]
    max_component: u64,

    /// How many handlers may run at the same time
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = exchanges, help_heading = "Limits")]
    max_exchanges: usize,

    /// How many handlers may compute at the same time; 32 for each core if not given
    #[arg(long, value_name = "NUMBER", value_parser = exchanges, help_heading = "Limits")]
    max_computing: Option<usize>,

    /// How many requests may wait for a handler that may run; more get a 503 at once
    #[arg(long, value_name = "NUMBER", default_value = "256", help_heading = "Limits")]
    max_queue: usize,

    /// How long a request may wait for that before it gets a 503
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration, help_heading = "Limits")]
    queue_wait: Duration,

    /// How long a request body may be
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = size, help_heading = "Limits")]
    max_body: u64,

    /// How long a request's head may be: its first line and its fields
    #[arg(long, value_name = "SIZE", default_value = "32KiB", value_parser = head_size, help_heading = "Limits")]
    max_head: u64,

    /// How long a request's target may be
    #[arg(long, value_name = "SIZE", default_value = "8KiB", value_parser = head_size, help_heading = "Limits")]
    max_target: u64,

    /// How many fields a request or a response may have
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = fields, help_heading = "Limits")]
    max_fields: usize,

    /// How long a client may take to send a head
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, help_heading = "Limits")]
    head_timeout: Duration,

    /// How long a client may send nothing while the handler waits for the body
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, help_heading = "Limits")]
    body_timeout: Duration,

    /// How long a client may take nothing of its response
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, help_heading = "Limits")]
    write_timeout: Duration,

    /// How many octets a second a client has to send or take while it is waited for, measured over 5s and then over 30s
    #[arg(long, value_name = "NUMBER", default_value = "240", help_heading = "Limits")]
    min_rate: u32,

    /// How long a connection may be idle between two requests
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration, help_heading = "Limits")]
    keep_alive: Duration,

    /// How long the running exchanges may go on after Ctrl-C or SIGTERM
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, help_heading = "Limits")]
    drain: Duration,

    /// How many connections may be open at the same time; more wait until one ends [default: 1024, or as many as there are
    /// file descriptors for]
    #[arg(long, value_name = "NUMBER", value_parser = connections, help_heading = "Limits")]
    max_connections: Option<usize>,

    /// How long compiling a handler may take
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration, help_heading = "Limits")]
    compile_timeout: Duration,

    /// How much memory compiling a handler may use
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size, help_heading = "Limits")]
    compile_memory: u64,

    /// Compile what comes in on stdin, for a server that waits for it
    #[arg(long, hide = true)]
    compile_only: bool,

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

const EXIT_CODES: &str = "Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage, 3 the address cannot be used, \
                          4 the handler cannot be served, 130 stopped at once by a second Ctrl-C.";

impl Args {
    /// Reads this process's command line and checks all that can be checked without the handler.
    ///
    /// # Errors
    ///
    /// A flag or a value that is wrong ([`Exit::Usage`]); `--help` and `--version` also arrive here ([`Exit::Done`]).
    pub fn from_command_line() -> Result<Task, StartError> {
        let args = Self::parse_from_iter(env::args_os())?;
        let program = env::current_exe().unwrap_or_else(|_| "wasmserve".into());
        let room = Room { memory: args.max_total_memory, stack: args.max_stack, lines: args.debug };
        let compile = Compile { program, timeout: args.compile_timeout, memory: args.compile_memory, room };
        if args.compile_only {
            return Ok(Task::Compile(compile));
        }
        Ok(Task::Serve(Box::new(args.into_config(compile)?)))
    }

    fn parse_from_iter(words: impl IntoIterator<Item = OsString>) -> Result<Self, StartError> {
        Args::try_parse_from(words).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => StartError::help(error.render().to_string()),
            _ => usage(in_one_line(&error.render().to_string())),
        })
    }

    fn into_config(self, compile: Compile) -> Result<Config, StartError> {
        let root = self.handler.map(|handler| (Mount::ROOT, handler));
        let handlers = Mounts::new(self.mount.into_iter().chain(root))
            .map_err(|mount| usage(format!("two handlers are mounted at `{mount}`; see --help")))?;
        Ok(Config {
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
            gateway: Gateway {
                lint: self.lint,
                debug: self.debug,
                asterisk_to_handler: self.asterisk == Asterisk::App,
                abort_on_half_close: self.abort_on_half_close,
                server_name: self.server_name,
                buffer_body: self.buffer_body,
                trusted_proxies: self.forwarded_allow_ips.iter().map(IpAddr::to_canonical).collect(),
                server: Some(self.server_header).filter(|server| !server.is_empty()),
            },
            linger: self.linger,
            stats: self.stats,
            access_log: match self.access_log_format {
                AccessLogFormat::Basehttp => AccessLog::BaseHttp,
                AccessLogFormat::Common => AccessLog::Common,
                AccessLogFormat::Combined => AccessLog::Combined,
                AccessLogFormat::Json => AccessLog::Json,
                AccessLogFormat::None => AccessLog::None,
            },
            crowd: Crowd {
                exchanges: self.max_exchanges,
                computing: self.max_computing.unwrap_or(Crowd::of_this_machine().computing),
                queue: self.max_queue,
                queue_wait: self.queue_wait,
            },
            room: compile.room.clone(),
            component: self.max_component,
            drain: self.drain,
            connections: self.max_connections,
            compile,
            grants: Grants { env: self.env, dirs: self.dir, net: self.allow_net },
        })
    }
}

fn usage(what: String) -> StartError {
    StartError::new(Exit::Usage, &anyhow::Error::msg(what))
}

/// What clap lays out on several lines, without its usage.
fn in_one_line(text: &str) -> String {
    let cause =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let cause: Vec<&str> = cause.filter(|line| !line.is_empty()).collect();
    format!("{}; see --help", cause.join(" ").trim_start_matches("error: "))
}

/// `/app=app.wasm`.
fn mount(text: &str) -> Result<(Mount, PathBuf), String> {
    match text.split_once('=') {
        Some((path, file)) if !file.is_empty() => Ok((path.parse()?, file.into())),
        _ => Err("write PATH=HANDLER.WASM, as in /app=app.wasm".into()),
    }
}

/// What the statistics tell is nobody else's business.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(addr) if addr.ip().is_loopback() => Ok(addr),
        _ => Err("must be a loopback address and a port, as in 127.0.0.1:9000".into()),
    }
}

/// No more than instances fit into the pool.
fn exchanges(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=INSTANCES_MAX) => Ok(number),
        _ => Err(format!("must be from 1 to {INSTANCES_MAX}")),
    }
}

/// hyper keeps the fields of a head in a table that it allocates beforehand.
fn fields(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1000) => Ok(number),
        _ => Err("must be from 1 to 1000".into()),
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err("must be from 1 to 1000000".into()),
    }
}

fn server_header(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| "must be printable ASCII".into())
}

/// A duration for the kernel, which counts whole seconds.
fn linger(text: &str) -> Result<Duration, String> {
    if text == "0" || text == "0s" {
        return Ok(Duration::ZERO);
    }
    match duration(text)? {
        duration if duration.subsec_nanos() == 0 => Ok(duration),
        _ => Err("must be whole seconds".into()),
    }
}

/// `30s`, `500ms`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err("write a number and a unit, as in 500ms, 30s, 2m or 1h".into()),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)) {
        None => Err("write a number and a unit, as in 500ms, 30s, 2m or 1h".into()),
        Some(0) => Err("must be more than nothing".into()),
        // Far beyond any use, and far below what an `Instant` can take.
        Some(millis) if millis > 365 * 24 * 60 * 60 * 1000 => Err("must be at most a year".into()),
        Some(millis) => Ok(Duration::from_millis(millis)),
    }
}

/// `512`, `64KiB`, `128MiB`, `1GiB`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("write a number and a unit, as in 512, 64KiB, 128MiB or 1GiB".into()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "write a number and a unit, as in 512, 64KiB, 128MiB or 1GiB".into())
}

/// Stacks are reserved for all instances that may run, so they are bounded.
fn stack_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        size @ 65_536..=67_108_864 => usize::try_from(size).map_err(|_| "is too large".into()),
        _ => Err("must be from 64KiB to 64MiB".into()),
    }
}

/// What is logged waits in memory.
fn log_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        size @ 64..=1_073_741_824 => usize::try_from(size).map_err(|_| "is too large".into()),
        _ => Err("must be from 64 to 1GiB".into()),
    }
}

/// A head is buffered whole, so it is bounded on both sides.
fn head_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        size if (1024..=1 << 20).contains(&size) => Ok(size),
        _ => Err("must be from 1KiB to 1MiB".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(words: &[&str]) -> Result<Config, String> {
        let words = ["wasmserve"].iter().chain(words).map(Into::into);
        let args = Args::parse_from_iter(words);
        let compile = Compile { program: PathBuf::new(), timeout: Duration::ZERO, memory: 0, room: Room::DEFAULT };
        args.and_then(|args| args.into_config(compile)).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn a_handler_is_all_that_must_be_given() {
        let config = config(&["hello.wasm"]).expect("the defaults are valid");
        assert_eq!(config.addr, "127.0.0.1:8000");
        assert_eq!(config.limits.timeout, Duration::from_secs(30));
        assert_eq!(config.limits.memory, 128 << 20);
        assert_eq!(config.limits.body, 32 << 20);
        assert_eq!(config.limits.head, 32 << 10);
        assert!(config.grants.is_empty());
    }

    #[test]
    fn e3_handlers_are_mounted_at_paths() {
        let mounted = |words: &[&str]| {
            config(words).map(|config| {
                config.handlers.iter().map(|(mount, file)| format!("{mount}={}", file.display())).collect::<Vec<_>>()
            })
        };
        assert_eq!(mounted(&["a.wasm", "--mount", "/b=b=c.wasm"]), Ok(vec!["/b=b=c.wasm".into(), "/=a.wasm".into()]));
        assert_eq!(mounted(&["--mount", "/b/=b.wasm"]), Ok(vec!["/b=b.wasm".into()]));
        assert!(mounted(&[]).is_err());
        assert!(mounted(&["--mount", "b=b.wasm"]).is_err());
        assert!(mounted(&["--mount", "/b"]).is_err());
        assert!(mounted(&["a.wasm", "--mount", "/=b.wasm"]).is_err_and(|error| error.contains("`/`")));
    }

    #[test]
    fn units_are_part_of_the_value() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("7"), Ok(7));
        for wrong in ["", "s", "5", "5 s", "-5s", "99999999999999999999s", "0s", "9999999h"] {
            assert!(duration(wrong).is_err(), "{wrong:?} is no duration");
        }
        for wrong in ["", "KiB", "5KB", "5k", "-5", "99999999999999999999"] {
            assert!(size(wrong).is_err(), "{wrong:?} is no size");
        }
    }

    #[test]
    fn e15_env_may_not_override_what_the_gateway_says() {
        for name in ["PATH_INFO", "HTTP_HOST", "wsgi.input", "wasmserve.request_id", "HTTPS"] {
            let error = config(&["hello.wasm", "--env", &format!("{name}=x")]).expect_err("it is reserved");
            assert!(error.contains(name) && error.contains("--env"), "{error}");
        }
        assert!(config(&["hello.wasm", "--env", "GREETING=hi=there"]).is_ok());
        assert!(config(&["hello.wasm", "--env", "GREETING"]).is_err());
    }
}
