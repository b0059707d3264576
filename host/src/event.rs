//! What happens, and who listens.
//!
//! The rooms below say what happens by [`Events::emit`]; each [`Listener`] sees every event, in the order in which one exchange
//! emits them: begun, admitted, started, head sent, ended. A listener is one file in `listen/`.

pub(crate) mod counters;
pub(crate) mod exchange;
pub(crate) mod notice;
pub(crate) mod snapshot;

use std::sync::Arc;

use self::{
    counters::{Counters, Tally},
    exchange::{Exchange, Outcome},
    notice::{Level, Notice},
    snapshot::Snapshot,
};
use crate::fault::Fault;

/// Something that happened, most often in an exchange.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The server itself has something to say, about no exchange.
    Notice(&'a Notice),
    /// The head of a request has arrived.
    Begun(&'a Exchange),
    /// The exchange has a place among those whose handlers run.
    Admitted(&'a Exchange),
    /// Its handler begins to run.
    Started(&'a Exchange),
    /// The handler, or the host on its behalf, writes a line to the log.
    Line {
        /// The exchange's id.
        id: u64,
        /// Where the line comes from.
        stream: Stream,
        /// One line of any bytes, without its end.
        line: &'a [u8],
    },
    /// The exchange has failed. At most one fault comes before the end of an exchange; another may follow if the handler goes on
    /// after its answer.
    Faulted {
        /// The exchange.
        exchange: &'a Exchange,
        /// Why.
        fault: &'a Fault,
    },
    /// The head of the response is on its way.
    HeadSent {
        /// The exchange.
        exchange: &'a Exchange,
        /// The status in it.
        status: u16,
    },
    /// The exchange is over. Emitted exactly once for each (rule L5).
    Ended {
        /// The exchange.
        exchange: &'a Exchange,
        /// How it ended.
        outcome: &'a Outcome,
    },
    /// The user has asked what runs.
    Running {
        /// The handlers that run, the oldest first.
        handlers: &'a [Snapshot],
        /// What has become of all requests so far.
        tally: Tally,
    },
}

/// Where a line of an exchange comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The handler's standard output.
    Stdout,
    /// The handler's standard error.
    Stderr,
    /// The gateway's `log` function: `wsgi.errors`.
    Log,
    /// An exception that the handler reported and dealt with.
    Exception,
    /// The host: what it did not let the handler do, and which flag would.
    Note,
    /// The host: what is unusual in the request (`--lint`).
    Lint,
}

impl Stream {
    /// The name that lines of it have in the log.
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

/// Something that is told of events. Called on the path of requests, so it must not block.
pub trait Listener: Send + Sync {
    /// Takes note of an event.
    fn on_event(&self, event: &Event<'_>);
}

/// Hands every event to all listeners, and counts.
#[derive(Default)]
pub struct Events {
    counters: Counters,
    listeners: Vec<Arc<dyn Listener>>,
}

impl Events {
    /// Events for these listeners.
    #[must_use]
    pub fn new(listeners: Vec<Arc<dyn Listener>>) -> Self {
        Self { counters: Counters::default(), listeners }
    }

    /// Hands on an event.
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

    /// Emits what the server itself has to say.
    pub fn notice(&self, level: Level, text: impl Into<String>) {
        self.emit(&Event::Notice(&Notice { level, text: text.into() }));
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
