//! WSGI's `write`.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    io::{self, ErrorKind},
    ops::Deref,
};

use crate::gateway::Gateway;

/// The `write` that `start_response` returns: sends chunks of the body. Call it like a function, or use it as a
/// [`std::io::Write`].
///
/// ```
/// # use wasmserve_guest::{Environ, StartResponse, WriteError, testing::call};
/// fn app(_environ: Environ, start_response: StartResponse) -> Result<(), WriteError> {
///     let write = start_response("200 OK", &[("Content-Type", "text/plain")]);
///     write(b"Hello, ")?;
///     write(b"World!\n")
/// }
/// # assert_eq!(call(app, Environ::for_test([])).body, b"Hello, World!\n");
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

    /// Does nothing, because chunks are not buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a chunk was not accepted.
///
/// ```
/// # use wasmserve_guest::{Environ, StartResponse, WriteError, testing::call};
/// let app = |_: Environ, start_response: StartResponse| {
///     let write = start_response("200 OK", &[("Content-Length", "2")]);
///     assert_eq!(write(b"abc"), Err(WriteError::PastContentLength));
/// };
/// # call(app, Environ::for_test([]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// `start_response` has not succeeded yet.
    NotStarted,
    /// The client is disconnected, or the response is already finished.
    Disconnected,
    /// The chunk exceeds the `Content-Length` that the handler set. The part that fits was sent.
    PastContentLength,
    /// The client read nothing for longer than the timeout of the host.
    TimedOut,
}

impl Display for WriteError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "start_response was not called",
            Self::Disconnected => "the client is gone",
            Self::PastContentLength => "the body is longer than its Content-Length",
            Self::TimedOut => "timed out sending the response",
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
