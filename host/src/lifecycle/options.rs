//! The options for the server's lifecycle.

use std::{ffi::OsString, path::PathBuf, time::Duration};

/// When the server stops apart from signals, and what starts along with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LifecycleOptions {
    /// Stop after this many exchanges; at least 1.
    pub exchanges: Option<u64>,
    /// Stop this long after the server started to listen.
    pub ttl: Option<Duration>,
    /// Stop after this long without an exchange.
    pub idle: Option<Duration>,
    /// A command to run in the shell; the server stops when it ends.
    pub exec: Option<OsString>,
    /// Whether to open a browser.
    pub open: bool,
    /// Whether there is a terminal, where Ctrl-C can be pressed.
    pub is_terminal: bool,
    /// A file that contains the port while the server listens.
    pub port_file: Option<PathBuf>,
}
