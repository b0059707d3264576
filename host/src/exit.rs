//! How the process ends: each way has an exit code, and a failed start one clear line.

use std::process::ExitCode;

/// The exit codes of `wasmserve`.
///
/// They are part of its interface: scripts may rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The server was asked to stop and let the running exchanges end; or only help was asked for.
    Done = 0,
    /// Something else went wrong, which the message names.
    Failed = 1,
    /// A flag or its value is wrong.
    Usage = 2,
    /// The address cannot be listened on.
    Address = 3,
    /// The handler cannot be served: no such file, not a component, or one of another world.
    Handler = 4,
    /// Asked to stop for a second time, so at once.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why the server did not start.
///
/// A message for a person together with the exit code by which a script decides.
#[derive(Debug)]
pub struct StartError {
    exit: Exit,
    message: String,
}

impl StartError {
    /// An error that is told as `wasmserve: CAUSE`, with all that led to it in one line.
    #[must_use]
    pub fn new(exit: Exit, cause: &anyhow::Error) -> Self {
        let message = format!("wasmserve: {}\n", crate::log::escape(format!("{cause:#}").as_bytes()));
        StartError { exit, message }
    }

    /// An error for a program that puts it into a sentence of its own.
    #[must_use]
    pub fn bare(exit: Exit, cause: &anyhow::Error) -> Self {
        StartError { exit, message: format!("{cause:#}") }
    }

    /// No error, but a text that was asked for instead of a server: help, or the version.
    #[must_use]
    pub fn help(text: String) -> Self {
        StartError { exit: Exit::Done, message: text }
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What to print, line end included: on stdout if it was asked for ([`Exit::Done`]), else on stderr.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}
