//! Ordinary requests, and their latencies.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{report::in_ms, wire};

/// The interval between requests.
const PACE: Duration = Duration::from_millis(10);

/// Anything that takes longer is a hang, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends requests until it is stopped, each on its own connection.
pub(super) struct Prober {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Latencies>,
}

impl Prober {
    /// Starts sending.
    pub(super) fn start(addr: SocketAddr, target: &str) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let thread = thread::spawn({
            let (is_over, request) = (Arc::clone(&is_over), wire::get(target));
            move || ask(addr, &request, |_| !is_over.load(Ordering::Relaxed))
        });
        Self { is_over, thread }
    }

    /// Stops sending.
    pub(super) fn stop(self) -> Latencies {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the thread does not panic")
    }
}

/// Sends this many requests.
pub(super) fn probe(addr: SocketAddr, target: &str, count: usize) -> Latencies {
    ask(addr, &wire::get(target), |asked| asked < count)
}

fn ask(addr: SocketAddr, request: &[u8], goes_on: impl Fn(usize) -> bool) -> Latencies {
    let mut latencies = Latencies::default();
    let mut due = Instant::now();
    while goes_on(latencies.asked()) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        match wire::ask(addr, request, TIMEOUT) {
            Ok(seen) if seen.status == 200 && seen.is_whole => latencies.taken.push(due.elapsed()),
            Ok(seen) => latencies.failed.push(format!("{} {:?}", seen.status, seen.fault)),
            Err(error) => latencies.failed.push(error.to_string()),
        }
        due += PACE;
    }
    latencies.taken.sort_unstable();
    latencies
}

/// Latencies, measured from when requests were due, so that a stall counts for every request that it delays.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    /// In ascending order.
    taken: Vec<Duration>,
    failed: Vec<String>,
}

impl Latencies {
    /// Latencies that were measured elsewhere.
    pub(super) fn of(mut taken: Vec<Duration>) -> Self {
        taken.sort_unstable();
        Self { taken, failed: Vec::new() }
    }

    pub(super) fn asked(&self) -> usize {
        self.taken.len() + self.failed.len()
    }

    /// How many requests had no correct response.
    pub(super) fn failed(&self) -> u64 {
        self.failed.len() as u64
    }

    /// How the first of them failed.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.first().map(String::as_str)
    }

    /// A percentile.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.taken.len() * percent).div_ceil(100).max(1);
        self.taken.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    /// Cells of a table: answered, min, p50, p99, max.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, p50, p99, max] = [0, 50, 99, 100].map(|percent| in_ms(self.percentile(percent)));
        write!(f, "{} of {}; {min} / {p50} / {p99} / {max}", self.taken.len(), self.asked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_times() {
        let latencies = Latencies::of((1..=200).rev().map(Duration::from_millis).collect());
        let ms = [0, 50, 99, 100].map(|percent| latencies.percentile(percent).as_millis());
        assert_eq!(ms, [1, 100, 198, 200]);
    }
}
