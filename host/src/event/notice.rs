//! What the server itself has to say.

use std::fmt;

/// One line of the server's own.
#[derive(Clone, Debug)]
pub struct Notice {
    /// How much it matters.
    pub level: Level,
    /// One line, without its end and without a prefix.
    pub text: String,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What a user waits for when the server starts: its address, what is granted. Printed without a prefix.
    Status,
    /// For those who asked for it by `--debug`.
    Debug,
    /// Something changed, as it should.
    Info,
    /// Something is not as the user may want it; serving goes on.
    Warning,
    /// Something failed; serving goes on.
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
