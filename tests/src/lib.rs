//! The harness of the tests: guests and the server built by cargo, servers as processes, a client that sees octets.
//!
//! Nothing in here sleeps. What a test waits for is told by a socket, by a line of the log or by the end of a process, and
//! it waits no longer than [`PATIENCE`].

pub mod graph;

pub mod guest;

pub mod server;

pub mod client;

pub mod http2;

pub mod bulk;

pub mod real;

pub mod place;

pub mod case;

pub mod table;

pub mod source;

pub mod siege;

pub mod local;

pub mod behaviour;

use std::time::Duration;

/// How long a test waits for what must happen. Much longer than it ever takes: a limit for what hangs, not a measure.
pub const PATIENCE: Duration = Duration::from_secs(60);
