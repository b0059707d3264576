//! The flags that decide when a server stops.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;

use super::value;
use crate::lifecycle::options::LifecycleOptions;

/// The flags that decide when a server stops, and what starts along with it. For `dump`, a request is a connection.
#[derive(Debug, Args)]
pub(super) struct LifecycleArgs {
    /// Stop after the first request; the exit code shows how it ended
    #[arg(long, conflicts_with = "requests", help_heading = "Lifecycle")]
    once: bool,

    /// Stop after this many requests; the exit code shows whether all were answered
    #[arg(long, value_name = "NUMBER", value_parser = value::times, help_heading = "Lifecycle")]
    requests: Option<u64>,

    /// Stop after this time, even if requests are in progress
    #[arg(long, value_name = "DURATION|none", value_parser = value::limit, help_heading = "Lifecycle")]
    ttl: Option<Duration>,

    /// Stop when there was no request for this time
    #[arg(long, value_name = "DURATION|none", value_parser = value::limit, help_heading = "Lifecycle")]
    idle_exit: Option<Duration>,

    /// Run a shell command with WASMSERVE_URL in its environment; stop when it ends, with its exit code
    #[arg(long, value_name = "COMMAND", help_heading = "Lifecycle")]
    exec: Option<OsString>,

    /// Open the server's URL in $BROWSER or the system's browser
    #[arg(long, help_heading = "Lifecycle")]
    open: bool,

    /// Write the port to a file, which is removed when the server stops
    #[arg(long, value_name = "FILE", help_heading = "Lifecycle")]
    port_file: Option<PathBuf>,
}

impl LifecycleArgs {
    /// Converts the flags into the options.
    pub(super) fn into_options(self) -> LifecycleOptions {
        LifecycleOptions {
            exchanges: if self.once { Some(1) } else { self.requests },
            ttl: self.ttl,
            idle: self.idle_exit,
            exec: self.exec,
            open: self.open,
            port_file: self.port_file,
            is_terminal: value::is_terminal(),
        }
    }
}
