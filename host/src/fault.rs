//! Why an exchange can fail, with the status, class and texts of each fault.

use std::{borrow::Cow, fmt, io};

use wasmserve_gateway::{cgi::HeadError, head::StartError, input::ReadError, refusal::Refusal, response::EndError};

use crate::base::stack::{Stack, Wait};

/// Why an exchange failed.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request was refused before it reached a handler.
    Refused {
        /// The status of the response, from 400 to 599.
        status: u16,
        /// What is wrong with the request.
        why: Cow<'static, str>,
    },
    /// The request's body is longer than the limit.
    BodyTooLarge,
    /// No handler is mounted at the request's path.
    NotMounted,
    /// The handler trapped.
    Trap {
        /// The panic message if there was one, else the trap.
        reason: String,
        /// Where it trapped.
        stack: Stack,
    },
    /// The handler's call stack overflowed.
    StackOverflow {
        /// The innermost functions of the stack.
        stack: Stack,
    },
    /// The handler tried to hold more handles to host resources than it may.
    TooManyHandles {
        /// Where it tried.
        stack: Stack,
    },
    /// The handler returned an error: an uncaught exception of the application.
    Exception(String),
    /// The handler exited its process instead of returning.
    Exited(i32),
    /// The handler needed more memory than its limit and failed when it was refused.
    OutOfMemory {
        /// Which limit it hit.
        limit: MemoryLimit,
        /// Where it failed.
        stack: Stack,
    },
    /// The handler ran for longer than its limit.
    TimedOut {
        /// Which limit it exceeded.
        limit: Limit,
        /// The host call that it was blocked in, if any.
        wait: Option<Wait>,
        /// Where it was, if known.
        stack: Stack,
    },
    /// The user ended the handler while it ran.
    Ended {
        /// The host call that it was blocked in, if any.
        wait: Option<Wait>,
        /// Where it was, if known.
        stack: Stack,
    },
    /// The handler returned without a response.
    NoStartResponse,
    /// The handler returned after its response head had been rejected.
    BadResponseHead(StartError),
    /// The handler is a CGI program, and its output does not begin with a head.
    BadCgiHead(HeadError),
    /// The handler redirected to itself, or to one that redirected back, until that was given up.
    RedirectLoop,
    /// The handler wrote fewer bytes than its `Content-Length`.
    ShortBody {
        /// How many bytes are missing.
        missing: u64,
    },
    /// A file that is served cannot be read, or became shorter while it was sent. The text says why.
    File(String),
    /// The request body ended early or was malformed, and the handler gave up on it.
    BadInput {
        /// The status of the response, if the client is still there.
        status: u16,
        /// What went wrong.
        why: &'static str,
    },
    /// Too many exchanges are in progress.
    Busy,
    /// The server stopped before the exchange ended.
    Stopped,
    /// Something that must never happen in the host.
    HostBug(String),
}

/// Who is responsible for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The client: its connection is not reused (rule X5).
    Client,
    /// There is no handler at this path.
    NotMounted,
    /// The handler, or the host on its behalf.
    Handler,
    /// Too many exchanges are in progress.
    Shed,
    /// The server is stopping.
    Stopped,
}

/// A time limit of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Wall-clock time.
    Wall,
    /// CPU time.
    Cpu,
}

/// A memory limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// The limit of one instance.
    Instance,
    /// The limit of all instances together.
    Process,
}

impl Fault {
    /// Where the handler was, if known.
    #[must_use]
    pub fn stack(&self) -> Option<&Stack> {
        match self {
            Self::Trap { stack, .. }
            | Self::StackOverflow { stack }
            | Self::TooManyHandles { stack }
            | Self::OutOfMemory { stack, .. }
            | Self::TimedOut { stack, .. }
            | Self::Ended { stack, .. } => Some(stack),
            Self::Refused { .. }
            | Self::BodyTooLarge
            | Self::NotMounted
            | Self::Exception(_)
            | Self::Exited(_)
            | Self::NoStartResponse
            | Self::BadResponseHead(_)
            | Self::BadCgiHead(_)
            | Self::RedirectLoop
            | Self::ShortBody { .. }
            | Self::File(_)
            | Self::BadInput { .. }
            | Self::Busy
            | Self::Stopped
            | Self::HostBug(_) => None,
        }
    }

    /// The status of the response, or of the access log entry if no response can be sent any more.
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
            | Self::OutOfMemory { .. }
            | Self::Ended { .. }
            | Self::NoStartResponse
            | Self::BadResponseHead(_)
            | Self::BadCgiHead(_)
            | Self::RedirectLoop
            | Self::ShortBody { .. }
            | Self::File(_)
            | Self::HostBug(_) => 500,
            Self::TimedOut { .. } => 504,
            Self::Busy | Self::Stopped => 503,
        }
    }

    /// A short identifier for logs and counters.
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
            Self::OutOfMemory { .. } => "memory-limit",
            Self::TimedOut { limit: Limit::Wall, .. } => "wall-limit",
            Self::TimedOut { limit: Limit::Cpu, .. } => "cpu-limit",
            Self::Ended { .. } => "ended",
            Self::NoStartResponse => "no-start-response",
            Self::BadResponseHead(_) => "bad-response-head",
            Self::BadCgiHead(_) => "bad-cgi-head",
            Self::RedirectLoop => "redirect-loop",
            Self::ShortBody { .. } => "short-body",
            Self::File(_) => "file",
            Self::BadInput { .. } => "bad-input",
            Self::Busy => "busy",
            Self::Stopped => "stopped",
            Self::HostBug(_) => "host-bug",
        }
    }

    /// Who is responsible.
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
            | Self::OutOfMemory { .. }
            | Self::TimedOut { .. }
            | Self::Ended { .. }
            | Self::NoStartResponse
            | Self::BadResponseHead(_)
            | Self::BadCgiHead(_)
            | Self::RedirectLoop
            | Self::ShortBody { .. }
            | Self::File(_)
            | Self::HostBug(_) => Class::Handler,
            Self::Busy => Class::Shed,
            Self::Stopped => Class::Stopped,
        }
    }

    /// The text for the client. Reveals nothing about the handler's internals.
    #[must_use]
    pub fn public_text(&self) -> &str {
        match self {
            Self::Refused { why, .. } => why,
            Self::BadInput { why, .. } => why,
            Self::BodyTooLarge => "the request body is too large",
            Self::NotMounted => "no handler is mounted here",
            Self::TimedOut { .. } => "the handler took too long",
            Self::Ended { .. } => "the handler was ended",
            Self::File(_) => "the file cannot be read",
            Self::Busy => "too many requests at the moment; try again later",
            Self::Stopped => "the server is stopping",
            Self::Trap { .. }
            | Self::StackOverflow { .. }
            | Self::TooManyHandles { .. }
            | Self::Exception(_)
            | Self::Exited(_)
            | Self::OutOfMemory { .. }
            | Self::NoStartResponse
            | Self::BadResponseHead(_)
            | Self::BadCgiHead(_)
            | Self::RedirectLoop
            | Self::ShortBody { .. }
            | Self::HostBug(_) => "the handler failed",
        }
    }
}

impl Fault {
    /// The fault of a file that is there, but could not be opened or read.
    pub(crate) fn unreadable(error: &io::Error) -> Self {
        Self::File(match error.kind() {
            io::ErrorKind::UnexpectedEof => "the file became shorter while it was sent".to_owned(),
            _ => format!("the file cannot be read: {error}"),
        })
    }
}

/// A body that the handler gave up on is the client's fault (rules I6, I7, I12).
impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        let (status, why) = match error {
            ReadError::TooLarge => return Self::BodyTooLarge,
            ReadError::Disconnected => (400, "the request body ended early"),
            ReadError::Malformed => (400, "the request body is malformed"),
            ReadError::TimedOut => (408, "the request body did not arrive in time; see --body-timeout and --min-rate"),
        };
        Self::BadInput { status, why }
    }
}

/// For a request that is refused before it reaches a handler.
impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid { status, why } => Self::Refused { status, why },
            Refusal::BodyTooLarge => Self::BodyTooLarge,
        }
    }
}

/// For a handler that returned without completing its response.
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
    /// The text for the log: the cause, then the remedy if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { why, .. } => write!(f, "{why}"),
            Self::BadInput { why, .. } => write!(f, "{why}"),
            Self::BodyTooLarge => write!(f, "the request body is longer than --max-body allows"),
            Self::NotMounted => write!(f, "no handler is mounted at this path; add one with --mount PATH=HANDLER"),
            Self::Trap { reason, .. } | Self::Exception(reason) | Self::File(reason) => write!(f, "{reason}"),
            Self::StackOverflow { .. } => write!(f, "the handler's call stack overflowed"),
            Self::TooManyHandles { .. } => write!(f, "the handler has more handles open than --max-handles allows"),
            Self::Exited(status) => write!(f, "the handler ended with exit({status})"),
            Self::OutOfMemory { limit: MemoryLimit::Instance, .. } => {
                write!(f, "the handler needs more memory than --max-memory allows")
            }
            Self::OutOfMemory { limit: MemoryLimit::Process, .. } => {
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
            Self::Ended { wait: None, .. } => write!(f, "the handler was ended from the viewer"),
            Self::Ended { wait: Some(wait), .. } => {
                let waited = wait.since.elapsed().as_secs_f32();
                write!(f, "the handler was ended from the viewer, after {waited:.1} s in `{}`", wait.import)
            }
            Self::NoStartResponse => write!(f, "the handler returned without a response"),
            Self::BadResponseHead(error) => write!(f, "{error}"),
            Self::BadCgiHead(error) => write!(f, "the program's output is not a CGI response: {error}"),
            Self::RedirectLoop => {
                write!(f, "the handlers redirect in a circle; print a `Location` with a host, or another path")
            }
            Self::ShortBody { missing } => {
                write!(f, "the handler wrote {missing} bytes less than its Content-Length")
            }
            Self::Busy => write!(f, "too many requests in progress; raise --max-exchanges or --max-queue"),
            Self::Stopped => write!(f, "the server was stopped"),
            Self::HostBug(what) => write!(f, "a bug in wasmserve: {what}"),
        }
    }
}

impl std::error::Error for Fault {}
