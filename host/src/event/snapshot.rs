//! The state of a running handler at one moment.

use std::time::{Duration, Instant};

use wasmserve_gateway::{environ::Peer, request::RequestHead};

use crate::base::stack::{Stack, Wait};

/// The state of a running handler at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The exchange's id.
    pub id: u64,
    /// The request's head.
    pub head: RequestHead,
    /// The two ends of the connection.
    pub peer: Peer,
    /// When the handler started.
    pub began: Instant,
    /// The CPU time used so far.
    pub cpu: Duration,
    /// The peak memory of its instance, in bytes.
    pub memory: u64,
    /// The host call that it is blocked in, if any.
    pub wait: Option<Wait>,
    /// Where it is, if it responded in time.
    pub stack: Option<Stack>,
}
