//! Events, and the listeners that receive them.
//!
//! All other modules report events with [`Events::emit`]. Each [`Listener`] receives every event. The events of one
//! exchange come in order: begun, admitted, started, head sent, ended. Each listener is a file in `listen/`.

pub(crate) mod counters;
pub(crate) mod exchange;
pub(crate) mod listening;
pub(crate) mod notice;
pub(crate) mod snapshot;

use std::sync::Arc;

use self::{
    counters::{Counters, Tally},
    exchange::{Exchange, Outcome, Sent},
    listening::Listening,
    notice::{Level, Notice},
    snapshot::Snapshot,
};
use crate::fault::Fault;

/// Something that happened, usually in an exchange.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A message from the server itself, not about an exchange.
    Notice(&'a Notice),
    /// The server listens. Emitted once.
    Listening(&'a Listening),
    /// Cargo, rustc or rustup prints a line while a handler is built, and every line of the log must be an object.
    Build {
        /// The line, without a line end.
        line: &'a [u8],
    },
    /// The head of a request has arrived.
    Begun(&'a Exchange),
    /// The exchange was admitted: its handler may run. Emitted again for each handler that it is redirected to.
    Admitted(&'a Exchange),
    /// The exchange's handler starts. Emitted again for each handler that it is redirected to.
    Started(&'a Exchange),
    /// The handler, or the host on its behalf, writes a line to the log.
    Line {
        /// The exchange's id.
        id: u64,
        /// The source of the line.
        stream: Stream,
        /// One line of arbitrary bytes, without a line end.
        line: &'a [u8],
    },
    /// The exchange failed. At most one fault precedes the end of an exchange; another may follow if the handler keeps
    /// running after its response.
    Faulted {
        /// The exchange.
        exchange: &'a Exchange,
        /// Why it failed.
        fault: &'a Fault,
        /// What its client has got by then.
        sent: Sent,
    },
    /// The response head is being sent.
    HeadSent {
        /// The exchange.
        exchange: &'a Exchange,
        /// The status of the response.
        status: u16,
    },
    /// The exchange ended. Emitted exactly once per exchange (rule L5).
    Ended {
        /// The exchange.
        exchange: &'a Exchange,
        /// How it ended.
        outcome: &'a Outcome,
    },
    /// The user asked which handlers are running.
    Running {
        /// The running handlers, oldest first.
        handlers: &'a [Snapshot],
        /// The counts of all requests so far.
        tally: Tally,
    },
}

/// The source of a log line of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The handler's standard output.
    Stdout,
    /// The handler's standard error.
    Stderr,
    /// The gateway's `log` function: `wsgi.errors`.
    Log,
    /// An exception that the handler caught and reported.
    Exception,
    /// The host: what it denied the handler, and which flag would allow it.
    Note,
    /// The host: something unusual in the request (`--lint`).
    Lint,
}

impl Stream {
    /// The name of the stream in the log.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log => "log",
            Self::Exception => "exception",
            Self::Note => "note",
            Self::Lint => "lint",
        }
    }
}

/// Receives events. Called on the request path, so it must not block.
pub trait Listener: Send + Sync {
    /// Handles an event.
    fn on_event(&self, event: &Event<'_>);
}

/// Passes every event to all listeners, and counts exchanges and faults.
#[derive(Default)]
pub struct Events {
    counters: Counters,
    listeners: Vec<Arc<dyn Listener>>,
}

impl Events {
    /// Creates events with these listeners.
    #[must_use]
    pub fn new(listeners: Vec<Arc<dyn Listener>>) -> Self {
        Self { counters: Counters::default(), listeners }
    }

    /// Passes an event to all listeners.
    pub fn emit(&self, event: &Event<'_>) {
        match event {
            Event::Begun(_) => self.counters.begin(),
            Event::Faulted { fault, .. } => self.counters.fault(fault.kind()),
            Event::Ended { outcome, .. } => self.counters.end(outcome.end),
            _ => {}
        }
        for listener in &self.listeners {
            listener.on_event(event);
        }
    }

    /// Emits a message from the server itself.
    pub fn notice(&self, level: Level, text: impl Into<String>) {
        self.emit(&Event::Notice(&Notice { level, text: text.into() }));
    }

    /// The counts so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
