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
    capture::recording::Recording,
    event::{
        Event, Stream,
        exchange::{CLIENT_LEFT, End, Exchange, Outcome, Sent},
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
    fault: Option<Recorded>,
    /// A fault that is none if it turns out that the client has left.
    presumed: Option<Fault>,
    is_finished: bool,
}

/// What the end of an exchange needs of its fault.
#[derive(Clone, Copy)]
struct Recorded {
    kind: &'static str,
    class: Class,
    status: u16,
}

impl InProgress {
    /// Begins an exchange for a request whose head has just arrived.
    pub(super) fn begin(
        exchanges: Arc<Exchanges>,
        peer: Peer,
        head: RequestHead,
        recording: Option<Recording>,
    ) -> Self {
        let exchange = Exchange { id: exchanges.next_id(), peer, head, began: Instant::now(), recording };
        exchanges.events.emit(&Event::Begun(&exchange));
        if let Some(original) = exchange.recording.as_ref().and_then(Recording::replay_of) {
            let line = format!("replay of {original}");
            exchanges.events.emit(&Event::Line { id: exchange.id, stream: Stream::Note, line: line.as_bytes() });
        }
        if exchanges.gateway.lint {
            for lint::Finding { what, clause } in lint::check(&exchange.head) {
                let line = [&*what, format!(" ({clause})").as_bytes()].concat();
                exchanges.events.emit(&Event::Line { id: exchange.id, stream: Stream::Lint, line: &line });
            }
        }
        Self {
            exchanges,
            exchange,
            sent: 0,
            stats: None,
            status: None,
            fault: None,
            presumed: None,
            is_finished: false,
        }
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

    /// Records a fault that prevents the response, or cuts it. A body that ended early may only show that the client has
    /// left (rule K10), so this is not certain until the client has got the answer.
    pub(super) fn failed(&mut self, fault: &Fault) {
        if let (Fault::BadInput { .. }, None) = (fault, self.status) {
            self.presumed = Some(fault.clone());
            return;
        }
        self.record(fault, self.status.map_or(Sent::Nothing, Sent::Part));
    }

    /// Records a fault of a handler whose client has the whole response.
    pub(super) fn failed_afterwards(&mut self, fault: &Fault) {
        self.record(fault, self.status.map_or(Sent::Nothing, Sent::All));
    }

    fn record(&mut self, fault: &Fault, sent: Sent) {
        self.fault = Some(Recorded { kind: fault.kind(), class: fault.class(), status: fault.status() });
        self.exchanges.events.emit(&Event::Faulted { exchange: &self.exchange, fault, sent });
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

    /// Ends the exchange: the client got the whole response.
    pub(super) fn answered(&mut self) {
        if let Some(fault) = self.presumed.take() {
            self.record(&fault, Sent::Nothing);
        }
        self.finish(End::Answered);
    }

    /// Ends the exchange without the whole response: after a fault, because the server was stopped, or else because the
    /// client left.
    pub(super) fn aborted(&mut self) {
        // A fault that came before is the reason, and an exchange has one.
        if self.fault.is_none() && self.exchanges.is_stopped() {
            self.failed(&Fault::Stopped);
        }
        self.finish(End::Aborted);
    }

    fn finish(&mut self, end: End) {
        if mem::replace(&mut self.is_finished, true) {
            return;
        }
        let status = match self.fault {
            None if end == End::Aborted => CLIENT_LEFT,
            fault => self.status.or(fault.map(|fault| fault.status)).unwrap_or(CLIENT_LEFT),
        };
        let is_shed = self.fault.is_some_and(|fault| fault.class == Class::Shed);
        let outcome = Outcome {
            end: if is_shed { End::Shed } else { end },
            status,
            fault: self.fault.map(|fault| fault.kind),
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
