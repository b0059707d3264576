//! One request and its outcome.

use std::time::{Duration, Instant, SystemTime};

use wasmserve_gateway::{environ::Peer, request::RequestHead};

/// A request whose head has arrived, until it is answered or aborted.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The exchange's number, counted from 1.
    pub id: u64,
    /// The two ends of the connection.
    pub peer: Peer,
    /// The request head, or the part of it that arrived.
    pub head: RequestHead,
    /// When the head arrived.
    pub began: Instant,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client got a complete response, possibly an error.
    Answered,
    /// The request was refused because too many were in progress.
    Shed,
    /// The client did not get a complete response.
    Aborted,
}

/// The outcome of an exchange.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The status sent, or [`CLIENT_LEFT`] if the client left before its response was complete.
    pub status: u16,
    /// The kind of its fault, if any.
    pub fault: Option<&'static str>,
    /// Bytes of the body written to the connection.
    pub sent: u64,
    /// The CPU time of its handler, if it had one.
    pub cpu: Option<Duration>,
    /// The peak memory of its instance in bytes, if it had one.
    pub memory: Option<u64>,
    /// When the exchange ended.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// The status logged when the client left before its response was complete, as in nginx (rule K10). Never sent.
pub const CLIENT_LEFT: u16 = 499;
