//! Messages from the server itself.

use std::fmt;

/// One message from the server itself.
#[derive(Clone, Debug)]
pub struct Notice {
    /// How important it is.
    pub level: Level,
    /// One line, without a line end or prefix.
    pub text: String,
}

/// How important a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What a user waits for at startup, such as the address and the grants. Printed without a prefix.
    Status,
    /// Shown only with `--debug`.
    Debug,
    /// Something changed as expected.
    Info,
    /// Something may not be what the user wants; the server keeps running.
    Warning,
    /// Something failed; the server keeps running.
    Error,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.level {
            Level::Status => "",
            Level::Debug => "wasmserve: debug: ",
            Level::Warning => "wasmserve: warning: ",
            Level::Info | Level::Error => "wasmserve: ",
        };
        write!(f, "{prefix}{}", self.text)
    }
}
