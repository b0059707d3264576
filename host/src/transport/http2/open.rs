//! Counts the open exchanges of an HTTP/2 connection, and how long it has been idle.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::base::lock::lock;

/// The number of open exchanges of a connection.
#[derive(Debug)]
pub(super) struct Open(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    count: usize,
    /// When the last exchange ended, or the connection began.
    since: Instant,
    /// Whether the client takes its responses too slowly.
    has_stalled: bool,
}

impl Open {
    /// A connection that has just begun.
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { count: 0, since: now, has_stalled: false }))
    }

    /// Opens an exchange, until the returned guard is dropped.
    #[must_use]
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        lock(&self.0).count += 1;
        Exchange(Arc::clone(self))
    }

    /// Whether an exchange is open.
    pub(super) fn has_any(&self) -> bool {
        lock(&self.0).count > 0
    }

    /// How long until the connection has been idle for `idle`, if nothing happens.
    pub(super) fn time_left(&self, idle: Duration, now: Instant) -> Duration {
        let State { count, since, .. } = *lock(&self.0);
        if count > 0 { idle } else { idle.saturating_sub(now.saturating_duration_since(since)) }
    }

    /// Records that the client reads its responses too slowly.
    pub(super) fn set_stalled(&self) {
        lock(&self.0).has_stalled = true;
    }
}

/// An open exchange. Dropping it closes the exchange.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Open>);

impl Exchange {
    /// Whether the client takes its responses too slowly.
    pub(super) fn has_stalled(&self) -> bool {
        lock(&self.0.0).has_stalled
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = lock(&self.0.0);
        state.count -= 1;
        state.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_while_no_exchange_is_open() {
        const IDLE: Duration = Duration::from_secs(60);
        let began = Instant::now();
        let open = Arc::new(Open::new(began));
        assert_eq!(open.time_left(IDLE, began + Duration::from_secs(20)), Duration::from_secs(40));
        assert_eq!(open.time_left(IDLE, began + Duration::from_secs(61)), Duration::ZERO);

        let (first, second) = (open.begin(), open.begin());
        drop(first);
        assert!(open.has_any());
        assert_eq!(open.time_left(IDLE, began + Duration::from_secs(600)), IDLE, "idle time has not started");
        drop(second);
        assert!(!open.has_any());
        assert!(open.time_left(IDLE, Instant::now()) > IDLE / 2, "idle time starts at the end of the last exchange");
    }
}
