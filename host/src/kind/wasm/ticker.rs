//! The thread that advances an engine's epoch, and its replacement if it stalls.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How late the ticker may be before another thread replaces it.
const LATE: Duration = Duration::from_secs(1);

/// Calls a function at a fixed interval, on a thread of its own. A task would starve along with the handlers that it
/// has to interrupt.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    tick: Arc<Tick>,
    interval: Duration,
}

/// The function called at each tick. `None` stops the ticker.
type Tick = dyn Fn() -> Option<()> + Send + Sync;

struct Shared {
    started: Instant,
    /// The time of the last tick, in milliseconds since the start.
    last: AtomicU64,
    /// The number of the current thread. A thread that stalled and resumes finds another number here and exits.
    current: AtomicU64,
}

impl Shared {
    fn record_tick(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system cannot create another thread.
    pub(super) fn spawn(interval: Duration, tick: impl Fn() -> Option<()> + Send + Sync + 'static) -> io::Result<Self> {
        let shared = Shared { started: Instant::now(), last: AtomicU64::new(0), current: AtomicU64::new(0) };
        let ticker = Self { shared: Arc::new(shared), tick: Arc::new(tick), interval };
        ticker.start(0)?;
        Ok(ticker)
    }

    fn start(&self, number: u64) -> io::Result<()> {
        let (shared, tick, interval) = (Arc::clone(&self.shared), Arc::clone(&self.tick), self.interval);
        thread::Builder::new().name("ticker".into()).spawn(move || {
            while shared.current.load(Ordering::Relaxed) == number && tick().is_some() {
                shared.record_tick();
                thread::sleep(interval);
            }
        })?;
        Ok(())
    }

    /// How late the ticker is at `at`; `None` if the delay is within bounds.
    pub(super) fn lateness(&self, at: Instant) -> Option<Duration> {
        let last = Duration::from_millis(self.shared.last.load(Ordering::Relaxed));
        Some((at - self.shared.started).saturating_sub(last)).filter(|late| *late > LATE)
    }

    /// Starts a thread that replaces the late one, and returns a message about it for the log.
    pub(super) fn replace(&self, late: Duration) -> String {
        let started = self.start(self.shared.current.fetch_add(1, Ordering::Relaxed) + 1);
        // Gives the new thread time to start.
        self.shared.record_tick();
        let seconds = late.as_secs_f32();
        match started {
            Ok(()) => format!("ticker stalled: no tick for {seconds:.1} s; another thread has taken over"),
            Err(error) => {
                format!("ticker stalled: no tick for {seconds:.1} s, and no thread to replace it: {error}")
            }
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // The thread exits by itself. Joining it would block the exit of the process if it has stalled.
        self.shared.current.store(u64::MAX, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        mpsc::{self, Receiver},
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    #[test]
    fn a_stalled_ticker_is_replaced_and_does_not_resume() {
        let (ticked, ticks) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let (go_on, stalled): (_, Receiver<()>) = mpsc::channel();
        let stall = Mutex::new(Some(stalled));
        let ticker = Ticker::spawn(Duration::from_millis(1), move || {
            // Released before waiting, or the second thread would stall on the lock.
            let stalled = stall.lock().expect("no thread panicked").take();
            if let Some(stalled) = stalled {
                _ = begun.send(());
                _ = stalled.recv();
            }
            ticked.send(thread::current().id()).ok()
        })
        .expect("the system can create a thread");

        has_begun.recv_timeout(TIMEOUT).expect("the first thread starts");
        assert_eq!(ticker.lateness(ticker.shared.started), None);
        let late = ticker.lateness(Instant::now() + Duration::from_secs(2)).expect("the ticker is late");
        let line = ticker.replace(late);
        assert!(line.starts_with("ticker stalled: no tick for ") && line.ends_with("taken over"), "{line}");
        let next = || ticks.recv_timeout(TIMEOUT).expect("a thread ticks");
        let second = next();

        // The first thread finishes its current tick and starts no other.
        drop(go_on);
        while next() == second {}
        for _ in 0..50 {
            assert_eq!(next(), second);
        }
    }

    #[test]
    fn a_punctual_ticker_is_not_late() {
        let (ticked, ticks) = mpsc::channel();
        let ticker = Ticker::spawn(Duration::from_millis(1), move || ticked.send(thread::current().id()).ok());
        let ticker = ticker.expect("the system can create a thread");
        for _ in 0..100 {
            ticks.recv_timeout(TIMEOUT).expect("the ticker ticks");
            assert_eq!(ticker.lateness(Instant::now()), None);
        }
    }

    #[test]
    fn a_ticker_stops_when_it_is_dropped() {
        let (ticked, ticks) = mpsc::channel();
        drop(Ticker::spawn(Duration::from_millis(1), move || ticked.send(()).ok()));
        // The thread drops the sender when it exits.
        while ticks.recv_timeout(TIMEOUT).is_ok() {}
        assert_eq!(ticks.recv_timeout(TIMEOUT), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
