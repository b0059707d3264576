//! How long the server is to live.

use std::{ffi::OsString, path::PathBuf, time::Duration};

/// How long the server lives, beside what signals say, and what begins and ends with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LifeOptions {
    /// After how many exchanges it ends; at least 1.
    pub exchanges: Option<u64>,
    /// How long after it began to listen.
    pub ttl: Option<Duration>,
    /// After how long without an exchange.
    pub idle: Option<Duration>,
    /// A command for the shell, with whose end it ends.
    pub exec: Option<OsString>,
    /// Whether a browser is to show it.
    pub open: bool,
    /// The file that says the port as long as it listens.
    pub port_file: Option<PathBuf>,
}
