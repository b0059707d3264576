//! The test harness: guests and the server built by cargo, servers as processes, and clients that work on bytes.
//!
//! Nothing in here sleeps. Tests wait for a socket, for a log line or for the end of a process, and for at most
//! [`TIMEOUT`].

pub mod dumped;
pub mod graph;

pub mod guest;

pub mod server;

pub mod client;

pub mod host;

pub mod http2;
pub mod kind;

pub mod bulk;

pub mod cluster;

pub mod real;

pub mod place;

pub mod python;

pub mod captured;
pub mod case;

pub mod cgi;

pub mod table;

pub mod terminal;

pub mod source;

pub mod siege;

pub mod local;

pub mod behaviour;

pub mod viewed;

use std::time::Duration;

/// How long a test waits for something that must happen. Much longer than it ever takes: it catches hangs, and measures
/// nothing.
pub const TIMEOUT: Duration = Duration::from_secs(60);
