//! What an exchange tells, and to whom it does not know.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    fault::Fault,
    gateway::{environ::Peer, request::RequestHead},
    roster::Sight,
    tally::Tally,
};

/// Something that happened, most often in an exchange.
#[derive(Debug)]
pub enum Event {
    /// The server itself has something to say, of no exchange.
    Server {
        /// One line without its end.
        line: String,
    },
    /// The handler, or the host on its behalf, has something to say.
    Said {
        /// The exchange.
        id: u64,
        /// Through what: `stdout`, `stderr`, `log`, `note`.
        through: &'static str,
        /// One line in any octets, without its end.
        line: Vec<u8>,
    },
    /// The exchange did not go as it should.
    Faulted {
        /// The exchange.
        id: u64,
        /// The request's head, or what there was of it.
        request: RequestHead,
        /// Why.
        fault: Fault,
    },
    /// Somebody wants to know what runs.
    Running {
        /// The handlers.
        handlers: Vec<Sight>,
        /// What has become of all requests so far.
        tally: Tally,
    },
    /// The exchange is over. Told exactly once for each (rule L5).
    Ended(Ended),
}

/// What there is to tell of an exchange that is over.
#[derive(Debug)]
pub struct Ended {
    /// The exchange.
    pub id: u64,
    /// The connection.
    pub peer: Peer,
    /// The request's head, or what there was of it.
    pub request: RequestHead,
    /// The kind of its fault, if it was told of one.
    pub fault: Option<&'static str>,
    /// The status that was sent; 499 if the client left before its answer was complete.
    pub status: u16,
    /// Octets of the body that were given to the connection.
    pub sent: u64,
    /// How long its handler has computed, if it had one.
    pub cpu: Option<Duration>,
    /// The most memory that its instance had, in octets, if it had one.
    pub memory: Option<u64>,
    /// When the exchange ended.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// Somebody who wants to know. Called on the request path, so it must not block.
pub trait Listener: Send + Sync {
    /// Takes note of an event.
    fn tell(&self, event: Event);
}

/// Where exchanges tell what happens.
pub type Record = Arc<dyn Listener>;
