//! An exchange in progress, which ends exactly once.

use std::{
    mem,
    sync::Arc,
    time::{Instant, SystemTime},
};

use wasmserve_gateway::{environ::Peer, lint, request::RequestHead};

use super::exchanges::Exchanges;
use crate::{
    admission::call_stats::CallStats,
    event::{
        Event, Stream,
        exchange::{CLIENT_LEFT, End, Exchange, Outcome},
    },
    fault::{Class, Fault},
};

/// An exchange in progress. Ends in `finish`, exactly once (rule L5). If it is dropped before, its client has left.
pub(super) struct InProgress {
    pub(super) exchanges: Arc<Exchanges>,
    pub(super) exchange: Exchange,
    /// Bytes of the body written to the connection.
    pub(super) sent: u64,
    /// The statistics of its handler, if it has one.
    pub(super) stats: Option<Arc<CallStats>>,
    /// The status of the head that was sent.
    status: Option<u16>,
    fault: Option<(&'static str, Class)>,
    is_finished: bool,
}

impl InProgress {
    /// Begins an exchange for a request whose head has just arrived.
    pub(super) fn begin(exchanges: Arc<Exchanges>, peer: Peer, head: RequestHead) -> Self {
        let exchange = Exchange { id: exchanges.next_id(), peer, head, began: Instant::now() };
        exchanges.events.emit(&Event::Begun(&exchange));
        if exchanges.gateway.lint {
            for lint::Finding { what, clause } in lint::check(&exchange.head) {
                let line = format!("{what} ({clause})");
                exchanges.events.emit(&Event::Line { id: exchange.id, stream: Stream::Lint, line: line.as_bytes() });
            }
        }
        Self { exchanges, exchange, sent: 0, stats: None, status: None, fault: None, is_finished: false }
    }

    /// Records that the handler may run.
    pub(super) fn admitted(&mut self, stats: &Arc<CallStats>) {
        self.stats = Some(Arc::clone(stats));
        self.exchanges.events.emit(&Event::Admitted(&self.exchange));
    }

    /// Records that the handler starts.
    pub(super) fn started(&self) {
        self.exchanges.events.emit(&Event::Started(&self.exchange));
    }

    /// Records a fault.
    pub(super) fn failed(&mut self, fault: &Fault) {
        self.fault = Some((fault.kind(), fault.class()));
        self.exchanges.events.emit(&Event::Faulted { exchange: &self.exchange, fault });
    }

    /// Records that the response head is being sent.
    pub(super) fn head_sent(&mut self, status: u16) {
        self.status = Some(status);
        self.exchanges.events.emit(&Event::HeadSent { exchange: &self.exchange, status });
    }

    /// The status of the head that was sent.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether the exchange has ended.
    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Ends the exchange: the client got the whole response, or as much as there is after a fault.
    pub(super) fn answered(&mut self) {
        self.finish(End::Answered, self.status.unwrap_or(CLIENT_LEFT));
    }

    /// Ends the exchange: the client left, or the server was stopped.
    pub(super) fn aborted(&mut self) {
        if self.exchanges.is_stopped() {
            self.failed(&Fault::Stopped);
        }
        self.finish(End::Aborted, CLIENT_LEFT);
    }

    fn finish(&mut self, end: End, status: u16) {
        if mem::replace(&mut self.is_finished, true) {
            return;
        }
        let is_shed = matches!(self.fault, Some((_, Class::Shed)));
        let outcome = Outcome {
            end: if is_shed { End::Shed } else { end },
            status,
            fault: self.fault.map(|(kind, _)| kind),
            sent: self.sent,
            cpu: self.stats.as_ref().map(|stats| stats.cpu()),
            memory: self.stats.as_ref().map(|stats| stats.memory()),
            at: SystemTime::now(),
            took: self.exchange.began.elapsed(),
        };
        self.exchanges.events.emit(&Event::Ended { exchange: &self.exchange, outcome: &outcome });
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        if !self.is_finished {
            self.aborted();
        }
    }
}
