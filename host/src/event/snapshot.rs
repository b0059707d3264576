//! A handler as it was at one moment.

use std::time::{Duration, Instant};

use wasmserve_gateway::{environ::Peer, request::RequestHead};

use crate::base::stack::{Stack, Wait};

/// A handler as it was at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The exchange's id.
    pub id: u64,
    /// The request's head.
    pub head: RequestHead,
    /// The two ends of the connection.
    pub peer: Peer,
    /// When the handler began.
    pub began: Instant,
    /// How long it had computed.
    pub cpu: Duration,
    /// The most memory that its instance had, in bytes.
    pub memory: u64,
    /// What it waited for.
    pub wait: Option<Wait>,
    /// Where it was, if it has answered in time.
    pub stack: Option<Stack>,
}
