//! The exchanges that are open on a connection of HTTP/2, and since when there is none.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How many exchanges a connection has at the moment.
#[derive(Debug)]
pub(super) struct Open(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    count: usize,
    /// When the last one ended, or the connection began.
    since: Instant,
    /// Whether the client takes its responses too slowly.
    has_stalled: bool,
}

impl Open {
    /// A connection that has just begun.
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { count: 0, since: now, has_stalled: false }))
    }

    /// Another exchange, open until what this returns is dropped.
    #[must_use]
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.lock().count += 1;
        Exchange(Arc::clone(self))
    }

    /// Whether there is an exchange.
    pub(super) fn is_any(&self) -> bool {
        self.lock().count > 0
    }

    /// How long it still takes until the connection has been idle for that long, if nothing happens.
    pub(super) fn left_of(&self, idle: Duration, now: Instant) -> Duration {
        let State { count, since, .. } = *self.lock();
        if count > 0 { idle } else { idle.saturating_sub(now.saturating_duration_since(since)) }
    }

    /// Takes note of a client that takes its responses too slowly.
    pub(super) fn set_stalled(&self) {
        self.lock().has_stalled = true;
    }

    /// The count stays right at every point, so a poisoned lock means nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exchange that is open.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Open>);

impl Exchange {
    /// Whether the client takes its responses too slowly.
    pub(super) fn has_stalled(&self) -> bool {
        self.0.lock().has_stalled
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.count -= 1;
        state.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_while_nothing_is_open() {
        const IDLE: Duration = Duration::from_secs(60);
        let began = Instant::now();
        let open = Arc::new(Open::new(began));
        assert_eq!(open.left_of(IDLE, began + Duration::from_secs(20)), Duration::from_secs(40));
        assert_eq!(open.left_of(IDLE, began + Duration::from_secs(61)), Duration::ZERO);

        let (first, second) = (open.begin(), open.begin());
        drop(first);
        assert!(open.is_any());
        assert_eq!(open.left_of(IDLE, began + Duration::from_secs(600)), IDLE, "it will take at least that");
        drop(second);
        assert!(!open.is_any());
        assert!(open.left_of(IDLE, Instant::now()) > IDLE / 2, "it counts from the end of the last one");
    }
}
