//! Tracks how exchanges end: the exit code of `--once` and `--requests`, and when the server may stop.

use tokio::{sync::watch, time::Instant};

use crate::{
    base::exit::Exit,
    event::{
        Event, Listener,
        exchange::{End, Exchange, Outcome},
    },
    fault::{Class, Fault},
};

/// The exchanges that have ended so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// How many exchanges have ended.
    pub ended: u64,
    /// How many of those count for the exit code.
    pub counted: u64,
    /// When the last one ended, or when the server started.
    pub since: Instant,
    /// How the first counted exchange that did not end normally ended.
    pub failure: Option<Exit>,
}

/// Follows the ends of exchanges. Takes a lock per exchange, so it is only used where the server's lifetime depends on
/// them.
pub(crate) struct ExitTracker {
    /// The last exchange that counts.
    last: u64,
    progress: watch::Sender<Progress>,
}

impl ExitTracker {
    /// A tracker that counts exchanges with ids up to `last`, and a receiver of its progress.
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
            Event::Faulted { exchange, fault, .. } if exchange.id <= self.last => self.fail(exit_of(fault)),
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
