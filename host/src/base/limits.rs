//! What everything is limited to.

use std::time::Duration;

use wasmserve_gateway::{head::HeadLimits, request::RequestLimits};

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
        head: RequestLimits::DEFAULT.head,
        target: RequestLimits::DEFAULT.target,
        fields: RequestLimits::DEFAULT.fields,
        head_timeout: Duration::from_secs(10),
        keep_alive: Duration::from_secs(15),
        body_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        rate: 240,
    };

    /// How large a request head may be.
    #[must_use]
    pub fn request_head(&self) -> RequestLimits {
        RequestLimits { head: self.head, target: self.target, fields: self.fields }
    }

    /// How large a response head may be.
    #[must_use]
    pub fn response_head(&self) -> HeadLimits {
        HeadLimits { bytes: self.head, fields: self.fields }
    }
}

/// What components get of the process.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Octets in all instances together.
    pub memory: u64,
    /// How many instances there may be at the same time, from 1 to 10,000. Each has a
    /// place of its own in the address space, so more than are wanted make starting slow.
    pub instances: usize,
    /// Octets of the stack of each.
    pub stack: usize,
    /// Whether their stacks tell files and lines, if components have them. What says so is the author's input to us, and
    /// makes compiling slower, so it is for debugging.
    pub lines: bool,
}

impl EngineLimits {
    /// What there is without any flag. CPython recurses deeply, so the stack is larger than most need.
    pub const DEFAULT: Self = Self { memory: 2 << 30, instances: 1000, stack: 1 << 20, lines: false };
}

/// How many handlers may run at the same time.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimits {
    /// Exchanges whose handlers run, most of which wait: each costs memory.
    pub exchanges: usize,
    /// Handlers that compute for longer than a tick: they share what the cores have left.
    pub computing: usize,
    /// Exchanges that wait until a handler may run. More are refused at once.
    pub queue: usize,
    /// How long they wait at most. Those for whom half of it would hardly be enough are refused at once.
    pub queue_wait: Duration,
}

impl ConcurrencyLimits {
    /// How many exchanges may wait without any flag.
    pub const DEFAULT_QUEUE: usize = 256;

    /// How long they wait at most without any flag.
    pub const DEFAULT_QUEUE_WAIT: Duration = Duration::from_secs(2);

    /// The limits without any flag.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            exchanges: EngineLimits::DEFAULT.instances,
            computing: 32 * cores,
            queue: Self::DEFAULT_QUEUE,
            queue_wait: Self::DEFAULT_QUEUE_WAIT,
        }
    }
}
