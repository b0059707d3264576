//! How the process ends: each way has an exit code, and a failed start one clear line.

use std::process::ExitCode;

use wasmserve_gateway::escape::escape;

/// The exit codes of `wasmserve`.
///
/// They are part of its interface: scripts may rely on them. Those from 10 on tell how exchanges ended that the server was
/// there for (`--once`, `--requests`): the first of them that was not answered as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The server was asked to stop and let the running exchanges end; or only help was asked for.
    Done,
    /// Something else went wrong, which the message names.
    Failed,
    /// A flag or its value is wrong.
    Usage,
    /// The address cannot be listened on.
    Address,
    /// The handler cannot be served: no such file, not a component, or one of another world.
    Handler,
    /// The handler failed.
    Faulted,
    /// The client left before it had its whole answer.
    Left,
    /// The host refused the request: malformed, too large, too many at the same time.
    Refused,
    /// The server was stopped before all exchanges had come and ended that it was there for.
    Unserved,
    /// Asked to stop for a second time, so at once.
    Interrupted,
    /// The command of `--exec` has ended with this code, or with 128 and the number of the signal that it died of.
    Command(u8),
}

impl Exit {
    /// What the system is told.
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
            Exit::Interrupted => 130,
            Exit::Command(code) => code,
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
/// A message for a person together with the exit code by which a script decides.
#[derive(Debug)]
pub(crate) struct StartError {
    exit: Exit,
    message: String,
}

impl StartError {
    /// An error that is told as `wasmserve: CAUSE`, with all that led to it in one line.
    #[must_use]
    pub(crate) fn new(exit: Exit, cause: &anyhow::Error) -> Self {
        let message = format!("wasmserve: {}\n", escape(format!("{cause:#}").as_bytes()));
        StartError { exit, message }
    }

    /// An error for a program that puts it into a sentence of its own.
    #[must_use]
    pub(crate) fn bare(exit: Exit, cause: &anyhow::Error) -> Self {
        StartError { exit, message: format!("{cause:#}") }
    }

    /// No error, but a text that was asked for instead of a server: help, or the version.
    #[must_use]
    pub(crate) fn help(text: String) -> Self {
        StartError { exit: Exit::Done, message: text }
    }

    /// The exit code.
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What to print, line end included: on stdout if it was asked for ([`Exit::Done`]), else on stderr.
    #[must_use]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

/// Turns errors into those of a start that failed.
pub(crate) trait OrExit<T> {
    /// The value, or an error with this exit code.
    ///
    /// # Errors
    ///
    /// It was one.
    fn or_exit(self, exit: Exit) -> Result<T, StartError>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, StartError> {
        self.map_err(|error| StartError::new(exit, &error.into()))
    }
}
