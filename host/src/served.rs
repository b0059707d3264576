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
pub struct Served {
    handler: ArcSwap<Handler>,
    /// Why the newest one does not work, for clients that are told.
    broken: ArcSwapOption<Broken>,
    /// How often one was broken.
    count: AtomicU64,
    news: Notify,
}

/// Why a handler cannot be served.
#[derive(Debug)]
pub struct Broken {
    /// Which one of those that could not be.
    pub number: u64,
    /// What the compiler has said of it, or we; with the colours of a terminal.
    pub words: String,
}

impl Served {
    /// This one.
    #[must_use]
    pub fn new(handler: Handler) -> Self {
        let handler = ArcSwap::from_pointee(handler);
        Self { handler, broken: ArcSwapOption::empty(), count: AtomicU64::new(0), news: Notify::new() }
    }

    /// The handler for an exchange that begins now.
    pub fn handler(&self) -> impl Deref<Target = Arc<Handler>> {
        self.handler.load()
    }

    /// Why there is no newer one, if that is so and clients are told.
    #[must_use]
    pub fn broken(&self) -> Option<Arc<Broken>> {
        self.broken.load_full()
    }

    /// From now on this one answers. Exchanges that run keep theirs.
    pub fn replace(&self, handler: Handler) {
        self.handler.store(Arc::new(handler));
        self.mend();
    }

    /// The newest one is the one that is served.
    pub fn mend(&self) {
        self.broken.store(None);
        self.wake();
    }

    /// The newest one cannot be served, and clients are to be told.
    pub fn tell_broken(&self, words: String) {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.broken.store(Some(Arc::new(Broken { number, words })));
        self.wake();
    }

    /// Waits until the newest one is no longer the broken one of that number, or until there is nothing more to wait for.
    pub async fn changed(&self, number: u64) {
        let mut news = std::pin::pin!(self.news.notified());
        news.as_mut().enable();
        if self.broken.load().as_ref().is_some_and(|broken| broken.number == number) {
            news.await;
        }
    }

    /// Ends all waiting.
    pub fn wake(&self) {
        self.news.notify_waiters();
    }
}
