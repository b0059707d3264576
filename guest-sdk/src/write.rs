//! Pushing chunks.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    io::{self, ErrorKind},
    ops::Deref,
};

use crate::gateway::Gateway;

/// `write`, which `start_response` returns: pushes chunks of the body. It is called like a function, and is a
/// [`std::io::Write`] too.
///
/// ```
/// # use wasmserve_guest::{Environ, StartResponse, WriteError, testing::call};
/// fn app(_environ: Environ, start_response: StartResponse) -> Result<(), WriteError> {
///     let write = start_response("200 OK", &[("Content-Type", "text/plain")]);
///     write(b"Hello, ")?;
///     write(b"World!\n")
/// }
/// # assert_eq!(call(app, Environ::made([])).body, b"Hello, World!\n");
/// ```
pub struct Write {
    call: Box<Call>,
}

type Call = dyn Fn(&[u8]) -> Result<(), WriteError>;

impl Write {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { call: Box::new(move |chunk| gateway.write(chunk)) }
    }
}

impl Deref for Write {
    type Target = Call;

    fn deref(&self) -> &Call {
        &*self.call
    }
}

impl io::Write for Write {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        self(chunk)?;
        Ok(chunk.len())
    }

    /// Does nothing: every chunk is on its way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a chunk was not taken.
///
/// ```
/// # use wasmserve_guest::{Environ, StartResponse, WriteError, testing::call};
/// let app = |_: Environ, start_response: StartResponse| {
///     let write = start_response("200 OK", &[("Content-Length", "2")]);
///     assert_eq!(write(b"abc"), Err(WriteError::PastContentLength));
/// };
/// # call(app, Environ::made([]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// `start_response` has not succeeded yet.
    NotStarted,
    /// The client is gone, or the response was finished before.
    Disconnected,
    /// The chunk goes beyond the `Content-Length` that the handler gave. What fits has been sent.
    PastContentLength,
    /// The client took nothing for longer than the host waits.
    TimedOut,
}

impl Display for WriteError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "start_response was not called",
            Self::Disconnected => "the client is gone",
            Self::PastContentLength => "the body is longer than its Content-Length",
            Self::TimedOut => "the client did not take the response in time",
        })
    }
}

impl Error for WriteError {}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        let kind = match error {
            WriteError::NotStarted => ErrorKind::NotConnected,
            WriteError::Disconnected => ErrorKind::BrokenPipe,
            WriteError::PastContentLength => ErrorKind::FileTooLarge,
            WriteError::TimedOut => ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}
