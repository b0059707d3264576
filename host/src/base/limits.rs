//! The limits of exchanges, instances and concurrency, with their defaults.

use std::time::Duration;

use wasmserve_gateway::{head::HeadLimits, request::RequestLimits};

/// What one exchange may use. Everything is bounded, even without flags.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a handler may run, from the request head to the end of the response.
    pub timeout: Duration,
    /// How much CPU time it may use in that time.
    pub cpu_time: Duration,
    /// Bytes in all memories and tables of one instance together, for each of its layers.
    pub memory: u64,
    /// How many layers an instance has: the handler and the filters in front of it.
    pub layers: u32,
    /// Bytes that the host accepts as arguments of one call from an instance; `None` for as much as its memory holds.
    pub arguments: Option<u64>,
    /// Handles to host resources that an instance may hold.
    pub handles: usize,
    /// Bytes that a handler may log in one exchange.
    pub log: usize,
    /// Bytes in one line of that log.
    pub log_line: usize,
    /// Bytes in a request body.
    pub body: u64,
    /// Bodies up to this many bytes are read before the handler starts, so that they have a length (rule I8); 0 for
    /// none.
    pub buffer_body: u64,
    /// Bytes in a request head, and in a response head.
    pub head: u64,
    /// Bytes in a request target (rule T12).
    pub target: usize,
    /// Header lines in a request or response.
    pub fields: usize,
    /// How long a client may take to send a head, from its first byte, or from the start of the connection.
    pub head_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// How long a client may pause while the server waits for its body (rule I12).
    pub body_timeout: Duration,
    /// How long a client may go without accepting any of its response.
    pub write_timeout: Duration,
    /// Bytes per second that a client must send of a body the server waits for, and must accept of a response; 0 for no
    /// minimum.
    pub rate: u32,
}

impl Limits {
    /// A duration that is no limit: a century, which moments in the future can still be computed with.
    pub const UNLIMITED: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// The default limits.
    pub const DEFAULT: Self = Self {
        timeout: Duration::from_secs(30),
        cpu_time: Duration::from_secs(5),
        memory: 128 << 20,
        layers: 1,
        arguments: None,
        handles: 1000,
        log: 256 << 10,
        log_line: 8 << 10,
        body: 32 << 20,
        buffer_body: 0,
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

/// The resources that all components of the process share.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Bytes in the memories of all instances together.
    pub memory: u64,
    /// How many instances may exist at the same time, from 1 to 10,000. Each
    /// reserves address space, so a number larger than needed slows down startup.
    pub instances: usize,
    /// Bytes of stack per instance.
    pub stack: usize,
    /// Whether stack traces show files and lines for components that contain debug information. This parses untrusted
    /// input on the host and makes compiling slower, so it is for debugging.
    pub lines: bool,
}

impl EngineLimits {
    /// The default limits. CPython recurses deeply, so the stack is larger than most handlers need.
    pub const DEFAULT: Self = Self { memory: 2 << 30, instances: 1000, stack: 1 << 20, lines: false };
}

/// How many handlers may run at the same time.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimits {
    /// Exchanges whose handlers run. Most of these handlers wait, and each costs memory.
    pub exchanges: usize,
    /// Handlers that have been computing for longer than a tick. They share the idle time of the cores.
    pub computing: usize,
    /// Exchanges that wait for a handler to start. Any more are refused at once.
    pub queue: usize,
    /// How long an exchange may wait. Exchanges that are likely to wait for more than half of it are refused at once.
    pub queue_wait: Duration,
}

impl ConcurrencyLimits {
    /// The default of [`queue`](Self::queue).
    pub const DEFAULT_QUEUE: usize = 256;

    /// The default of [`queue_wait`](Self::queue_wait).
    pub const DEFAULT_QUEUE_WAIT: Duration = Duration::from_secs(2);

    /// The default limits for the number of cores of this machine.
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
