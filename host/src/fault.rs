//! Why an exchange did not go as it should, and what the client is told.

use std::{borrow::Cow, fmt};

use wasmserve_gateway::{head::StartError, input::ReadError, refusal::Refusal, response::EndError};

use crate::base::stack::{Stack, Wait};

/// Why an exchange did not go as it should.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request was refused before a handler saw it.
    Refused {
        /// From 400 to 599.
        status: u16,
        /// What is wrong with the request.
        why: Cow<'static, str>,
    },
    /// The request's body is longer than the limit.
    BodyTooLarge,
    /// No handler is mounted where the request's path leads.
    NotMounted,
    /// The handler trapped.
    Trap {
        /// The panic's message if there was one, else the trap.
        reason: String,
        /// Where.
        stack: Stack,
    },
    /// The handler called itself too often.
    StackOverflow {
        /// The innermost functions of all that it was in.
        stack: Stack,
    },
    /// The handler has as many handles on things of the host as it may have, and wanted more.
    TooManyHandles {
        /// Where.
        stack: Stack,
    },
    /// The handler returned an error: an exception that left the application.
    Exception(String),
    /// The handler ended its own process instead of returning.
    Exited(i32),
    /// The handler wanted more memory than it may have, and did not survive the refusal.
    OutOfMemory(MemoryLimit),
    /// The handler ran for longer than it may.
    TimedOut {
        /// Which time was over.
        limit: Limit,
        /// What it was waiting for, if it was.
        wait: Option<Wait>,
        /// Where it was, if that is known.
        stack: Stack,
    },
    /// The handler returned without a response.
    NoStartResponse,
    /// The handler returned after its response had been refused.
    BadResponseHead(StartError),
    /// The handler gave fewer octets than its `Content-Length` said.
    ShortBody {
        /// How many are missing.
        missing: u64,
    },
    /// The body of the request ended early, or was malformed, and the handler gave up on it.
    BadInput {
        /// What the client is told, if it still listens.
        status: u16,
        /// What went wrong.
        why: &'static str,
    },
    /// As many exchanges run as can.
    Busy,
    /// The server was stopped before the exchange had ended.
    Stopped,
    /// Something that never may happen in the host.
    HostBug(String),
}

/// Who is to blame for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The client: the connection that its request came on is not used any further (rule X5).
    Client,
    /// Nobody: there is no handler at this path.
    NotMounted,
    /// The handler, or the host in its place.
    Handler,
    /// Nobody: too many exchanges are in progress.
    Shed,
    /// Nobody: the server is stopping.
    Stopped,
}

/// A limit of a handler's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The time that passes.
    Wall,
    /// The time in which it computes.
    Cpu,
}

/// A limit of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// That of one instance.
    Instance,
    /// That of all instances together.
    Process,
}

impl Fault {
    /// Where the handler was, if that is known.
    #[must_use]
    pub fn stack(&self) -> Option<&Stack> {
        match self {
            Self::Trap { stack, .. }
            | Self::StackOverflow { stack }
            | Self::TooManyHandles { stack }
            | Self::TimedOut { stack, .. } => Some(stack),
            Self::Refused { .. }
            | Self::BodyTooLarge
            | Self::NotMounted
            | Self::Exception(_)
            | Self::Exited(_)
            | Self::OutOfMemory(_)
            | Self::NoStartResponse
            | Self::BadResponseHead(_)
            | Self::ShortBody { .. }
            | Self::BadInput { .. }
            | Self::Busy
            | Self::Stopped
            | Self::HostBug(_) => None,
        }
    }

    /// The status of the answer, or of the access log where no answer can be given any more.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Refused { status, .. } | Self::BadInput { status, .. } => *status,
            Self::BodyTooLarge => 413,
            Self::NotMounted => 404,
            Self::Trap { .. }
            | Self::StackOverflow { .. }
            | Self::TooManyHandles { .. }
            | Self::Exception(_)
            | Self::Exited(_)
            | Self::OutOfMemory(_)
            | Self::NoStartResponse
            | Self::BadResponseHead(_)
            | Self::ShortBody { .. }
            | Self::HostBug(_) => 500,
            Self::TimedOut { .. } => 504,
            Self::Busy | Self::Stopped => 503,
        }
    }

    /// One word for logs and counters.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::BodyTooLarge => "body-too-large",
            Self::NotMounted => "not-mounted",
            Self::Trap { .. } => "trap",
            Self::StackOverflow { .. } => "stack-overflow",
            Self::TooManyHandles { .. } => "handle-limit",
            Self::Exception(_) => "exception",
            Self::Exited(_) => "exited",
            Self::OutOfMemory(_) => "memory-limit",
            Self::TimedOut { limit: Limit::Wall, .. } => "wall-limit",
            Self::TimedOut { limit: Limit::Cpu, .. } => "cpu-limit",
            Self::NoStartResponse => "no-start-response",
            Self::BadResponseHead(_) => "bad-response-head",
            Self::ShortBody { .. } => "short-body",
            Self::BadInput { .. } => "bad-input",
            Self::Busy => "busy",
            Self::Stopped => "stopped",
            Self::HostBug(_) => "host-bug",
        }
    }

    /// Who is to blame.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { .. } | Self::BodyTooLarge | Self::BadInput { .. } => Class::Client,
            Self::NotMounted => Class::NotMounted,
            Self::Trap { .. }
            | Self::StackOverflow { .. }
            | Self::TooManyHandles { .. }
            | Self::Exception(_)
            | Self::Exited(_)
            | Self::OutOfMemory(_)
            | Self::TimedOut { .. }
            | Self::NoStartResponse
            | Self::BadResponseHead(_)
            | Self::ShortBody { .. }
            | Self::HostBug(_) => Class::Handler,
            Self::Busy => Class::Shed,
            Self::Stopped => Class::Stopped,
        }
    }

    /// What the client may know: nothing about the handler's inside.
    #[must_use]
    pub fn public_text(&self) -> &str {
        match self {
            Self::Refused { why, .. } => why,
            Self::BadInput { why, .. } => why,
            Self::BodyTooLarge => "the request body is too large",
            Self::NotMounted => "no handler is mounted here",
            Self::TimedOut { .. } => "the handler took too long",
            Self::Busy => "too many requests at the moment, try again",
            Self::Stopped => "the server is stopping",
            Self::Trap { .. }
            | Self::StackOverflow { .. }
            | Self::TooManyHandles { .. }
            | Self::Exception(_)
            | Self::Exited(_)
            | Self::OutOfMemory(_)
            | Self::NoStartResponse
            | Self::BadResponseHead(_)
            | Self::ShortBody { .. }
            | Self::HostBug(_) => "the handler failed",
        }
    }
}

/// For a body that was given up: the client's fault, whoever was reading (rules I6, I7, I12).
impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        let (status, why) = match error {
            ReadError::TooLarge => return Self::BodyTooLarge,
            ReadError::Disconnected => (400, "the request body ended too early"),
            ReadError::Malformed => (400, "the request body is malformed"),
            ReadError::TimedOut => (408, "the request body did not arrive in time"),
        };
        Self::BadInput { status, why }
    }
}

/// For a request that is refused before a handler sees it.
impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid { status, why } => Self::Refused { status, why },
            Refusal::BodyTooLarge => Self::BodyTooLarge,
        }
    }
}

/// For what a handler still owed when it returned.
impl From<EndError> for Fault {
    fn from(error: EndError) -> Self {
        match error {
            EndError::NoStartResponse => Self::NoStartResponse,
            EndError::BadHead(error) => Self::BadResponseHead(error),
            EndError::ShortBody { missing } => Self::ShortBody { missing },
            EndError::Exception(text) => Self::Exception(text),
        }
    }
}

impl fmt::Display for Fault {
    /// For the log: the cause, and the remedy where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { why, .. } => write!(f, "{why}"),
            Self::BadInput { why, .. } => write!(f, "{why}"),
            Self::BodyTooLarge => write!(f, "the request body is longer than --max-body allows"),
            Self::NotMounted => write!(f, "no handler is mounted where this path leads; --mount PATH=FILE would"),
            Self::Trap { reason, .. } | Self::Exception(reason) => write!(f, "{reason}"),
            Self::StackOverflow { .. } => write!(f, "the handler's calls are nested too deeply: the stack is full"),
            Self::TooManyHandles { .. } => write!(f, "the handler has more handles open than --max-handles allows"),
            Self::Exited(status) => write!(f, "the handler called exit({status}) instead of returning"),
            Self::OutOfMemory(MemoryLimit::Instance) => {
                write!(f, "the handler needs more memory than --max-memory allows")
            }
            Self::OutOfMemory(MemoryLimit::Process) => {
                write!(f, "all handlers together need more memory than --max-total-memory allows")
            }
            Self::TimedOut { limit: Limit::Cpu, .. } => {
                write!(f, "the handler computed for longer than --cpu-time allows")
            }
            Self::TimedOut { limit: Limit::Wall, wait: None, .. } => {
                write!(f, "the handler ran for longer than --timeout allows")
            }
            Self::TimedOut { limit: Limit::Wall, wait: Some(wait), .. } => {
                let waited = wait.since.elapsed().as_secs_f32();
                write!(
                    f,
                    "the handler ran for longer than --timeout allows, the last {waited:.1} s in `{}`",
                    wait.import
                )
            }
            Self::NoStartResponse => write!(f, "the handler returned without calling start-response"),
            Self::BadResponseHead(error) => write!(f, "{error}"),
            Self::ShortBody { missing } => {
                write!(f, "the handler gave {missing} octets less than its Content-Length")
            }
            Self::Busy => write!(f, "as many exchanges run as can"),
            Self::Stopped => write!(f, "the server was stopped"),
            Self::HostBug(what) => write!(f, "a bug in wasmserve: {what}"),
        }
    }
}

impl std::error::Error for Fault {}
