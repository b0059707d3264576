//! One request and its outcome.

use std::time::{Duration, Instant, SystemTime};

use wasmserve_gateway::{environ::Peer, request::RequestHead};

use crate::capture::recording::Recording;

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
    /// What is recorded of it, if exchanges are captured.
    pub(crate) recording: Option<Recording>,
}

impl Exchange {
    /// An exchange whose request head has just arrived, and which is not captured.
    #[must_use]
    pub fn new(id: u64, peer: Peer, head: RequestHead) -> Self {
        Self { id, peer, head, began: Instant::now(), recording: None }
    }

    /// The id that the handler and the client learn: that of the original, if this is a replay that repeats it exactly.
    #[must_use]
    pub(crate) fn shown_id(&self) -> u64 {
        self.recording.as_ref().and_then(Recording::repeated_id).unwrap_or(self.id)
    }
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

/// How much of its response an exchange had sent when a fault occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Nothing: the fault decides the status.
    Nothing,
    /// The head, with this status, but not the whole body: the response is cut.
    Part(u16),
    /// The whole response, with this status.
    All(u16),
}

impl Sent {
    /// The one status of the exchange, in every place that shows one. `otherwise` is that of the fault.
    #[must_use]
    pub fn status(self, otherwise: u16) -> u16 {
        match self {
            Self::Nothing => otherwise,
            Self::Part(status) | Self::All(status) => status,
        }
    }
}

/// The outcome of an exchange.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The status of the head that was sent, even if the body was cut; that of the fault if no head was sent; or
    /// [`CLIENT_LEFT`] if the client left before its response was complete.
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
