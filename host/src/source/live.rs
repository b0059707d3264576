//! What is served at a mount: the newest handler that works, and why a newer one does not.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;

use crate::handler::Handler;

/// The newest handler that works. It is replaced as a whole; who has taken it keeps it.
pub(crate) struct Live {
    handler: ArcSwap<Box<dyn Handler>>,
    /// Why the newest one does not work, for clients that are told.
    broken: ArcSwapOption<Broken>,
    /// How often one was broken.
    count: AtomicU64,
    news: Notify,
}

/// Why a handler cannot be served.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Which one of those that could not be.
    pub number: u64,
    /// What the compiler printed, with the colours of a terminal; or the host's own reason.
    pub output: String,
}

impl Live {
    /// Serves this one.
    #[must_use]
    pub(crate) fn new(handler: Box<dyn Handler>) -> Self {
        let handler = ArcSwap::from_pointee(handler);
        Self { handler, broken: ArcSwapOption::empty(), count: AtomicU64::new(0), news: Notify::new() }
    }

    /// The handler for an exchange that begins now.
    pub(crate) fn handler(&self) -> impl Deref<Target = Arc<Box<dyn Handler>>> {
        self.handler.load()
    }

    /// Why there is no newer one, if that is so and clients are told.
    #[must_use]
    pub(crate) fn broken(&self) -> Option<Arc<Broken>> {
        self.broken.load_full()
    }

    /// From now on this one answers. Exchanges that run keep theirs.
    pub(crate) fn replace(&self, handler: Box<dyn Handler>) {
        self.handler.store(Arc::new(handler));
        self.mend();
    }

    /// The newest one is the one that is served.
    pub(crate) fn mend(&self) {
        self.broken.store(None);
        self.wake();
    }

    /// The newest one cannot be served, and clients are to be told.
    pub(crate) fn set_broken(&self, output: String) {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.broken.store(Some(Arc::new(Broken { number, output })));
        self.wake();
    }

    /// Waits until the newest one is no longer the broken one of that number, or until there is nothing more to wait for.
    pub(crate) async fn changed(&self, number: u64) {
        let mut news = std::pin::pin!(self.news.notified());
        news.as_mut().enable();
        if self.broken.load().as_ref().is_some_and(|broken| broken.number == number) {
            news.await;
        }
    }

    /// Ends all waiting.
    pub(crate) fn wake(&self) {
        self.news.notify_waiters();
    }
}
