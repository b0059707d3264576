//! The thread that keeps an engine's time, and who looks after it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How late the ticker may be before another one takes its place.
const LATE: Duration = Duration::from_secs(1);

/// Calls a function again and again. Not a task: tasks starve together with the handlers that they should stop.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    tick: Arc<Tick>,
    interval: Duration,
}

/// One tick; `None` when there is nothing left to tick for.
type Tick = dyn Fn() -> Option<()> + Send + Sync;

struct Shared {
    started: Instant,
    /// When the last tick was, in milliseconds since the start.
    last: AtomicU64,
    /// Which thread is the ticker. One that stalled and goes on later is no longer it.
    current: AtomicU64,
}

impl Shared {
    fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }
}

impl Ticker {
    /// Starts ticking.
    ///
    /// # Errors
    ///
    /// The system refuses another thread.
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
                shared.beat();
                thread::sleep(interval);
            }
        })?;
        Ok(())
    }

    /// How late the ticker is at that time, if it is too late.
    pub(super) fn lateness(&self, at: Instant) -> Option<Duration> {
        let last = Duration::from_millis(self.shared.last.load(Ordering::Relaxed));
        Some((at - self.shared.started).saturating_sub(last)).filter(|late| *late > LATE)
    }

    /// Starts another thread in place of the one that is late, and says so.
    pub(super) fn replace(&self, late: Duration) -> String {
        let started = self.start(self.shared.current.fetch_add(1, Ordering::Relaxed) + 1);
        // The next one has as much time to begin.
        self.shared.beat();
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
        // Its thread ends by itself. It is not waited for: one that stalls would hold up the end of the process.
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

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_ticker_that_stalls_is_replaced_and_does_not_come_back() {
        let (ticked, ticks) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let (go_on, stalled): (_, Receiver<()>) = mpsc::channel();
        let stall = Mutex::new(Some(stalled));
        let ticker = Ticker::spawn(Duration::from_millis(1), move || {
            // Taken out of the lock before it is waited for, or the second thread would stall as well.
            let stalled = stall.lock().expect("nobody panics in here").take();
            if let Some(stalled) = stalled {
                _ = begun.send(());
                _ = stalled.recv();
            }
            ticked.send(thread::current().id()).ok()
        })
        .expect("there are threads left");

        has_begun.recv_timeout(PATIENCE).expect("it begins");
        assert_eq!(ticker.lateness(ticker.shared.started), None);
        let late = ticker.lateness(Instant::now() + Duration::from_secs(2)).expect("it has never ticked");
        let line = ticker.replace(late);
        assert!(line.starts_with("ticker stalled: no tick for ") && line.ends_with("taken over"), "{line}");
        let next = || ticks.recv_timeout(PATIENCE).expect("somebody ticks");
        let second = next();

        // The first one ends the tick that it was in, and does not begin another.
        drop(go_on);
        while next() == second {}
        for _ in 0..50 {
            assert_eq!(next(), second);
        }
    }

    #[test]
    fn a_ticker_that_ticks_is_left_alone() {
        let (ticked, ticks) = mpsc::channel();
        let ticker = Ticker::spawn(Duration::from_millis(1), move || ticked.send(thread::current().id()).ok());
        let ticker = ticker.expect("there are threads left");
        for _ in 0..100 {
            ticks.recv_timeout(PATIENCE).expect("it ticks");
            assert_eq!(ticker.lateness(Instant::now()), None);
        }
    }

    #[test]
    fn a_ticker_ends_with_its_engine() {
        let (ticked, ticks) = mpsc::channel();
        drop(Ticker::spawn(Duration::from_millis(1), move || ticked.send(()).ok()));
        // The sender is dropped with the thread.
        while ticks.recv_timeout(PATIENCE).is_ok() {}
        assert_eq!(ticks.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
