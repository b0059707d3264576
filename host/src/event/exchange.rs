//! One request and what became of it.

use std::time::{Duration, Instant, SystemTime};

use wasmserve_gateway::{environ::Peer, request::RequestHead};

/// A request whose head has arrived, until it is answered or given up.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its number, from 1 on.
    pub id: u64,
    /// The two ends of the connection.
    pub peer: Peer,
    /// The request's head, or what there was of it.
    pub head: RequestHead,
    /// When the head had arrived.
    pub began: Instant,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client was given a whole answer, be it that of a fault.
    Answered,
    /// It was refused because too many are in progress.
    Shed,
    /// The client did not get a whole answer.
    Aborted,
}

/// What became of an exchange.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The status that was sent; [`CLIENT_LEFT`] if the client left before its answer was complete.
    pub status: u16,
    /// The kind of its fault, if it had one.
    pub fault: Option<&'static str>,
    /// Bytes of the body that were given to the connection.
    pub sent: u64,
    /// How long its handler has computed, if it had one.
    pub cpu: Option<Duration>,
    /// The most memory that its instance had, in bytes, if it had one.
    pub memory: Option<u64>,
    /// When the exchange ended.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// What stands for the status in the log when the client left before its answer was complete: nginx's habit (rule K10); never
/// on the wire.
pub const CLIENT_LEFT: u16 = 499;
