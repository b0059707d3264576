//! How the exchanges ended that the server is there for: its exit code, and when it may stop.

use tokio::{sync::watch, time::Instant};

use crate::{
    base::exit::Exit,
    event::{
        Event, Listener,
        exchange::{End, Exchange, Outcome},
    },
    fault::{Class, Fault},
};

/// What has ended so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// How many exchanges have ended.
    pub ended: u64,
    /// How many of those that count.
    pub counted: u64,
    /// When the last one ended, or the server began.
    pub since: Instant,
    /// How the first of those that count ended which was not answered as it should be.
    pub failure: Option<Exit>,
}

/// Follows the ends of exchanges. It costs each exchange a lock, so it listens only where the server's life depends on them.
pub(crate) struct ExitTracker {
    /// The last exchange that counts.
    last: u64,
    progress: watch::Sender<Progress>,
}

impl ExitTracker {
    /// One for which the exchanges up to the id `last` count, and where its progress can be seen.
    #[must_use]
    pub(crate) fn new(last: u64) -> (Self, watch::Receiver<Progress>) {
        let progress = Progress { ended: 0, counted: 0, since: Instant::now(), failure: None };
        let (progress, receiver) = watch::channel(progress);
        (Self { last, progress }, receiver)
    }

    fn fail(&self, exit: Exit) {
        self.progress.send_modify(|progress| progress.failure = progress.failure.or(Some(exit)));
    }
}

impl Listener for ExitTracker {
    fn on_event(&self, event: &Event<'_>) {
        match *event {
            Event::Faulted { exchange, fault } if exchange.id <= self.last => self.fail(exit_of(fault)),
            Event::Ended { exchange: Exchange { id, .. }, outcome: Outcome { end, fault, .. } } => {
                let counts = *id <= self.last;
                if counts && fault.is_none() && *end == End::Aborted {
                    self.fail(Exit::Left);
                }
                self.progress.send_modify(|progress| {
                    progress.ended += 1;
                    progress.counted += u64::from(counts);
                    progress.since = Instant::now();
                });
            }
            _ => {}
        }
    }
}

fn exit_of(fault: &Fault) -> Exit {
    match fault.class() {
        Class::Client | Class::NotMounted | Class::Shed => Exit::Refused,
        Class::Stopped => Exit::Unserved,
        Class::Handler => Exit::Faulted,
    }
}
