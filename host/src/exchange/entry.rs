//! An exchange's line in the books.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Instant, SystemTime},
};

use super::Exchanges;
use crate::{
    fault::Fault,
    gateway::{environ::Peer, request::RequestHead},
    record::{Ended, Event, Record},
    roster::Watch,
};

/// An exchange's line in the access log, written exactly once: when this is dropped (rule L5).
pub(super) struct Entry {
    pub(super) exchanges: Arc<Exchanges>,
    pub(super) id: u64,
    pub(super) peer: Peer,
    pub(super) request: RequestHead,
    /// The status of the answer; `None` while the client does not have all that it can get.
    pub(super) status: Option<u16>,
    pub(super) sent: u64,
    /// The kind of the fault that was told.
    pub(super) fault: Option<&'static str>,
    /// What its handler has used, if it had one.
    pub(super) watch: Option<Arc<Watch>>,
    pub(super) began: Instant,
}

impl Entry {
    pub(super) fn record(&self) -> &Record {
        &self.exchanges.record
    }

    pub(super) fn tell(&mut self, fault: Fault) {
        let kind = fault.kind();
        self.fault = Some(kind);
        self.exchanges.counts.fault(kind);
        self.record().tell(Event::Faulted { id: self.id, request: self.request.clone(), fault });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let status = self.status.unwrap_or_else(|| {
            if self.exchanges.is_stopped.load(Ordering::Relaxed) {
                self.tell(Fault::Stopped);
            }
            Fault::Disconnected.status()
        });
        self.exchanges.counts.end(status, self.fault);
        self.record().tell(Event::Ended(Ended {
            id: self.id,
            peer: self.peer,
            request: self.request.clone(),
            fault: self.fault,
            status,
            sent: self.sent,
            cpu: self.watch.as_ref().map(|watch| watch.cpu()),
            memory: self.watch.as_ref().map(|watch| watch.memory()),
            at: SystemTime::now(),
            took: self.began.elapsed(),
        }));
    }
}
