//! What a server hears of its exchanges whose life depends on them.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use crate::{
    config,
    exit::Exit,
    fault::Fault,
    record::{Ended, Event, Listener, Record},
};

/// What was heard so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// How many exchanges have ended, and how many of those that count.
    pub(super) ended: u64,
    pub(super) counted: u64,
    /// When the last one ended, or the server began.
    pub(super) since: Instant,
    /// How the first of those that count ended which was not answered as it should.
    pub(super) failure: Option<Exit>,
}

/// Hears what is told, and passes it on. It costs each exchange a lock, so it is there only where somebody wants to know.
struct Witness {
    /// The last exchange that counts.
    last: u64,
    heard: watch::Sender<Heard>,
    record: Record,
}

/// The record to be told, and what is heard from it, if the server's life depends on exchanges.
pub(crate) fn listen(life: &config::Life, record: Record) -> (Record, Option<watch::Receiver<Heard>>) {
    if life.exchanges.is_none() && life.idle.is_none() {
        return (record, None);
    }
    let (heard, receiver) = watch::channel(Heard { ended: 0, counted: 0, since: Instant::now(), failure: None });
    let last = life.exchanges.unwrap_or(u64::MAX);
    (Arc::new(Witness { last, heard, record }), Some(receiver))
}

impl Listener for Witness {
    fn tell(&self, event: Event) {
        match &event {
            Event::Faulted { id, fault, .. } if *id <= self.last => {
                let exit = exit_of(fault);
                self.heard.send_modify(|heard| heard.failure = heard.failure.or(Some(exit)));
            }
            Event::Ended(Ended { id, status, fault, .. }) => {
                let counts = *id <= self.last;
                let has_left = counts && fault.is_none() && *status == Fault::Disconnected.status();
                self.heard.send_modify(|heard| {
                    heard.ended += 1;
                    heard.counted += u64::from(counts);
                    heard.since = Instant::now();
                    heard.failure = heard.failure.or(has_left.then_some(Exit::Left));
                });
            }
            _ => {}
        }
        self.record.tell(event);
    }
}

fn exit_of(fault: &Fault) -> Exit {
    match fault {
        fault if fault.is_the_clients() => Exit::Refused,
        Fault::NotMounted | Fault::Busy => Exit::Refused,
        Fault::Disconnected => Exit::Left,
        Fault::Stopped => Exit::Unserved,
        _ => Exit::Faulted,
    }
}
