//! Exit codes, and the error that a failed start reports.

use std::process::ExitCode;

use wasmserve_gateway::escape::escape;

/// The exit codes of `wasmserve`.
///
/// They are part of its interface: scripts may rely on them. With `--once` and `--requests`, codes from 10 on report
/// the first exchange that did not end normally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The server was asked to stop and the exchanges in progress ended; or the user asked for help only.
    Done,
    /// Something else failed; see the message.
    Failed,
    /// A flag or its value is wrong.
    Usage,
    /// The server cannot listen on the address.
    Address,
    /// The handler cannot be served: no such file, not a component, or a component of another world.
    Handler,
    /// The handler failed.
    Faulted,
    /// The client left before it had the whole response.
    Left,
    /// The host refused the request: malformed, too large, or too many requests at the same time.
    Refused,
    /// The server stopped before it had served the requested number of exchanges.
    Unserved,
    /// `wasmserve replay`: a response differs from the captured one.
    Differs,
    /// `wasmserve replay`: something could not be replayed.
    NotReplayed,
    /// The server was asked to stop a second time and stopped at once.
    Interrupted,
    /// A signal ended the program before it served or built anything: 128 plus the number of the signal.
    Unready(u8),
    /// The command given with `--exec` ended with this code, or with 128 plus the number of the signal that killed it.
    Command(u8),
}

impl Exit {
    /// The code for the operating system.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Address => 3,
            Exit::Handler => 4,
            Exit::Faulted => 10,
            Exit::Left => 11,
            Exit::Refused => 12,
            Exit::Unserved => 13,
            Exit::Differs => 14,
            Exit::NotReplayed => 15,
            Exit::Interrupted => 130,
            Exit::Unready(code) | Exit::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why the server did not start.
///
/// Holds a message for people and an exit code for scripts.
#[derive(Debug)]
pub(crate) struct StartError {
    exit: Exit,
    message: String,
}

impl StartError {
    /// An error printed as `wasmserve: CAUSE`, with the whole chain of causes in one line.
    #[must_use]
    pub(crate) fn new(exit: Exit, cause: &anyhow::Error) -> Self {
        let message = format!("wasmserve: {}\n", escape(format!("{cause:#}").as_bytes()));
        StartError { exit, message }
    }

    /// An error without the prefix, for callers that put it into a sentence of their own.
    #[must_use]
    pub(crate) fn bare(exit: Exit, cause: &anyhow::Error) -> Self {
        StartError { exit, message: format!("{cause:#}") }
    }

    /// Text that the user asked for instead of a server: help, or the version.
    #[must_use]
    pub(crate) fn help(text: String) -> Self {
        StartError { exit: Exit::Done, message: text }
    }

    /// The exit code.
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The text to print, including the line end: on stdout if the user asked for it ([`Exit::Done`]), else on stderr.
    #[must_use]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

/// Attaches an exit code to an error.
pub(crate) trait OrExit<T> {
    /// Turns an error into a [`StartError`] with this exit code.
    ///
    /// # Errors
    ///
    /// The original error, with the exit code.
    fn or_exit(self, exit: Exit) -> Result<T, StartError>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, StartError> {
        self.map_err(|error| StartError::new(exit, &error.into()))
    }
}
