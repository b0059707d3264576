//! The handler that a mount serves: the newest one that works, and why a newer one does not.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;

use crate::{capture::record::Build, handler::Handler};

/// The newest handler that works. It can be replaced at any time; exchanges in progress keep theirs.
pub(crate) struct Live {
    handler: ArcSwap<Box<dyn Handler>>,
    /// The handler as the user named it.
    name: String,
    /// How many handlers there were so far.
    builds: AtomicU64,
    /// Why the newest version does not work, if clients may see that.
    broken: ArcSwapOption<Broken>,
    /// Why the newest version does not work, in a line.
    failure: ArcSwapOption<String>,
    /// How many versions were broken so far.
    count: AtomicU64,
    news: Notify,
}

/// Why a handler cannot be served.
#[derive(Debug)]
pub(crate) struct Broken {
    /// The number of the broken version, counted from 1.
    pub number: u64,
    /// The compiler's messages, with terminal colours; or the host's own reason.
    pub output: String,
}

impl Live {
    /// Creates a mount's state that serves this handler.
    #[must_use]
    pub(crate) fn new(handler: Box<dyn Handler>, name: String) -> Self {
        let handler = ArcSwap::from_pointee(handler);
        Self {
            handler,
            name,
            builds: AtomicU64::new(1),
            broken: ArcSwapOption::empty(),
            failure: ArcSwapOption::empty(),
            count: AtomicU64::new(0),
            news: Notify::new(),
        }
    }

    /// The current handler, for an exchange that begins now.
    pub(crate) fn handler(&self) -> impl Deref<Target = Arc<Box<dyn Handler>>> {
        self.handler.load()
    }

    /// The handler's name, and which of its versions is served.
    #[must_use]
    pub(crate) fn build(&self) -> Build {
        Build { name: self.name.clone(), number: self.builds.load(Ordering::Relaxed) }
    }

    /// Why the newest version does not work, if it does not and clients may see that.
    #[must_use]
    pub(crate) fn broken(&self) -> Option<Arc<Broken>> {
        self.broken.load_full()
    }

    /// Replaces the handler. Exchanges in progress keep theirs.
    pub(crate) fn replace(&self, handler: Box<dyn Handler>) {
        self.handler.store(Arc::new(handler));
        self.builds.fetch_add(1, Ordering::Relaxed);
        self.mend();
    }

    /// Records that the served handler is the newest version.
    pub(crate) fn mend(&self) {
        self.broken.store(None);
        self.failure.store(None);
        self.wake();
    }

    /// Why the newest version does not work, in a line, if it does not.
    #[must_use]
    pub(crate) fn failure(&self) -> Option<Arc<String>> {
        self.failure.load_full()
    }

    /// Records that the newest version cannot be served.
    pub(crate) fn set_failure(&self, line: String) {
        self.failure.store(Some(Arc::new(line)));
    }

    /// Records that the newest version cannot be served, for clients to see.
    pub(crate) fn set_broken(&self, output: String) {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.broken.store(Some(Arc::new(Broken { number, output })));
        self.wake();
    }

    /// Waits until the newest version is no longer the broken one with this number, or until [`wake`](Self::wake) is
    /// called.
    pub(crate) async fn changed(&self, number: u64) {
        let mut news = std::pin::pin!(self.news.notified());
        news.as_mut().enable();
        if self.broken.load().as_ref().is_some_and(|broken| broken.number == number) {
            news.await;
        }
    }

    /// Wakes all waiters.
    pub(crate) fn wake(&self) {
        self.news.notify_waiters();
    }
}
