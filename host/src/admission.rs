//! Decides which handlers may run, which wait, and which are refused.

pub(crate) mod call_stats;
mod registry;
mod wait_estimate;

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant as Moment, timeout},
};

use self::{call_stats::CallStats, registry::Registry, wait_estimate::WaitEstimate};
use crate::{
    base::{limits::ConcurrencyLimits, lock::lock},
    event::{exchange::Exchange, snapshot::Snapshot},
};

/// The running handlers, and the queue of those that wait.
#[derive(Debug)]
pub struct Admission {
    limits: ConcurrencyLimits,
    running: Registry,
    /// How many running handlers have been computing for longer than a tick.
    computing: AtomicUsize,
    /// How many exchanges wait. Changed under the lock of `estimate`.
    queued: AtomicUsize,
    /// The single permit of the first in the queue, which alone looks for a free place. It is passed on in order.
    first: Semaphore,
    /// Notified when a handler ends or stops computing.
    freed: Notify,
    /// How fast the queue moves.
    estimate: Mutex<WaitEstimate>,
}

/// All places are taken, and the queue is full or too slow.
#[derive(Clone, Copy, Debug)]
pub struct Busy;

impl Admission {
    /// Creates an empty admission with these limits.
    #[must_use]
    pub fn new(limits: ConcurrencyLimits) -> Self {
        Self {
            limits,
            running: Registry::default(),
            computing: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            first: Semaphore::new(1),
            freed: Notify::new(),
            estimate: Mutex::default(),
        }
    }

    /// Waits until the handler of an exchange may run. It counts as running until the slot is dropped.
    ///
    /// # Errors
    ///
    /// No place became free in time, or none is expected to, which is reported at once.
    pub async fn enter(self: &Arc<Self>, exchange: &Exchange) -> Result<Slot, Busy> {
        let stats = Arc::new(CallStats::new(exchange));
        // Newcomers must not overtake the queue.
        if self.queued.load(Ordering::SeqCst) == 0
            && let Some(running) = self.try_enter(&stats)
        {
            return Ok(running);
        }
        let _queued = Queued::new(self)?;
        let admitted = timeout(self.limits.queue_wait, async {
            let _first = self.first.acquire().await;
            loop {
                let mut freed = pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(running) = self.try_enter(&stats) {
                    lock(&self.estimate).step(Moment::now());
                    return running;
                }
                freed.await;
            }
        });
        admitted.await.map_err(|_| {
            lock(&self.estimate).give_up(Moment::now());
            Busy
        })
    }

    fn try_enter(self: &Arc<Self>, stats: &Arc<CallStats>) -> Option<Slot> {
        let is_free = self.computing.load(Ordering::SeqCst) < self.limits.computing;
        (is_free && self.running.try_insert(stats, self.limits.exchanges)).then(|| Slot {
            admission: Arc::clone(self),
            stats: Arc::clone(stats),
            is_computing: false,
        })
    }

    /// How many handlers are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Waits until no handler is running.
    pub async fn idle(&self) {
        self.running.emptied().await;
    }

    /// Takes snapshots of all running handlers, oldest first. Takes up to 300 ms if a handler does not report its
    /// stack.
    pub async fn snapshots(&self) -> Vec<Snapshot> {
        self.running.snapshots().await
    }

    /// Takes snapshots of all running handlers, oldest first, without their stacks.
    #[must_use]
    pub fn glance(&self) -> Vec<Snapshot> {
        self.running.glance()
    }

    /// Takes a snapshot of one handler with its stack, or returns `None` if it is not running. Takes up to 300 ms.
    pub async fn snapshot(&self, id: u64) -> Option<Snapshot> {
        self.running.snapshot(id).await
    }

    /// Ends one handler: its exchange fails with [`Fault::Ended`](crate::fault::Fault::Ended). Returns whether it was
    /// running. Takes up to 300 ms.
    pub async fn end(&self, id: u64) -> bool {
        self.running.end(id).await
    }

    /// Wakes the first in the queue. Both sides use `SeqCst` because at least one must see the other's change.
    fn notify_first(&self) {
        if self.queued.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }
}

/// A place in the queue. Dropping it leaves the queue.
struct Queued<'a>(&'a Admission);

impl<'a> Queued<'a> {
    fn new(admission: &'a Admission) -> Result<Self, Busy> {
        let ConcurrencyLimits { queue, queue_wait, .. } = admission.limits;
        let (mut estimate, now) = (lock(&admission.estimate), Moment::now());
        let others = admission.queued.load(Ordering::SeqCst);
        if others >= queue || !estimate.is_worth_joining(others, queue_wait, now) {
            return Err(Busy);
        }
        estimate.join(now);
        admission.queued.store(others + 1, Ordering::SeqCst);
        Ok(Self(admission))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut estimate = lock(&self.0.estimate);
        if self.0.queued.fetch_sub(1, Ordering::SeqCst) == 1 {
            estimate.end();
        }
    }
}

/// A running handler's place. Dropping it frees the place.
#[derive(Debug)]
pub struct Slot {
    admission: Arc<Admission>,
    stats: Arc<CallStats>,
    is_computing: bool,
}

impl Slot {
    /// The handler's statistics.
    #[must_use]
    pub fn stats(&self) -> &Arc<CallStats> {
        &self.stats
    }

    /// Records whether the handler has been computing for longer than a tick.
    pub fn set_computing(&mut self, is_computing: bool) {
        if is_computing == self.is_computing {
            return;
        }
        self.is_computing = is_computing;
        if is_computing {
            self.admission.computing.fetch_add(1, Ordering::SeqCst);
        } else {
            self.admission.computing.fetch_sub(1, Ordering::SeqCst);
            self.admission.notify_first();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.set_computing(false);
        self.admission.running.remove(&self.stats);
        self.admission.notify_first();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use wasmserve_gateway::{environ::Peer, request::RequestHead};

    use super::*;

    fn admission(exchanges: usize, computing: usize, queue: usize) -> Arc<Admission> {
        Arc::new(Admission::new(ConcurrencyLimits { exchanges, computing, queue, queue_wait: Duration::from_secs(2) }))
    }

    async fn enter(admission: &Arc<Admission>, id: u64) -> Result<Slot, Busy> {
        let peer = Peer { remote: ([127, 0, 0, 1], 1).into(), local: ([127, 0, 0, 1], 2).into() };
        let head = RequestHead::new(Bytes::new());
        admission.enter(&Exchange::new(id, peer, head)).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_without_a_free_place_waits_and_then_gives_up() {
        let admission = admission(1, 1, 1);
        let first = enter(&admission, 1).await.expect("a free place");
        let begin = tokio::time::Instant::now();
        assert!(enter(&admission, 2).await.is_err());
        assert_eq!(begin.elapsed().as_secs(), 2);
        drop(first);
        assert!(enter(&admission, 3).await.is_ok());
        assert_eq!(admission.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once_and_the_others_enter_in_order() {
        let admission = admission(1, 1, 2);
        let first = enter(&admission, 1).await.expect("a free place");
        let waiting = [2, 3].map(|id| {
            tokio::spawn({
                let admission = Arc::clone(&admission);
                async move { enter(&admission, id).await }
            })
        });
        tokio::task::yield_now().await;
        let begin = tokio::time::Instant::now();
        assert!(enter(&admission, 4).await.is_err());
        assert_eq!(begin.elapsed(), Duration::ZERO);
        drop(first);
        for (task, id) in waiting.into_iter().zip([2, 3]) {
            let slot = task.await.expect("no panic").expect("a free place");
            assert_eq!(slot.stats().exchange.id, id);
        }
    }

    /// Sends `count` requests, one every `pace`, each of which holds its place for `work`. Returns how long each waited
    /// for its place (`Ok`) or for its refusal (`Err`).
    async fn run_load(
        admission: &Arc<Admission>,
        count: u64,
        pace: Duration,
        work: Duration,
    ) -> Vec<Result<Duration, Duration>> {
        let mut tasks = Vec::new();
        for id in 0..count {
            let admission = Arc::clone(admission);
            tasks.push(tokio::spawn(async move {
                let begun = Moment::now();
                let running = enter(&admission, id).await.map_err(|Busy| begun.elapsed())?;
                let waited = begun.elapsed();
                tokio::time::sleep(work).await;
                drop(running);
                Ok(waited)
            }));
            tokio::time::sleep(pace).await;
        }
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.expect("no panic"));
        }
        results
    }

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn under_overload_refusals_are_immediate_and_all_places_stay_in_use() {
        for times in [2, 3, 10] {
            let admission = admission(4, 4, 256);
            // Four places at 40 ms each serve 100 requests a second, for 30 seconds.
            let results = run_load(&admission, u64::from(times) * 3000, 10 * MS / times, 40 * MS).await;
            let served: Vec<_> = results.iter().filter_map(|result| result.ok()).collect();
            let refused: Vec<_> = results.iter().filter_map(|result| result.err()).collect();
            assert!(served.len() >= 2900, "{times}: {} were served", served.len());
            assert!(served.iter().all(|waited| *waited <= 1200 * MS), "{times}: {:?}", served.iter().max());
            assert!(refused.iter().all(Duration::is_zero), "{times}: {:?}", refused.iter().max());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_can_be_served_in_time_is_served() {
        let admission = admission(4, 4, 256);
        for _ in 0..3 {
            let results = run_load(&admission, 180, Duration::ZERO, 40 * MS).await;
            assert!(results.iter().all(Result::is_ok), "they take less than two seconds");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_stuck_queue_only_the_first_exchanges_wait() {
        let admission = admission(1, 1, 256);
        let results = run_load(&admission, 300, 100 * MS, Duration::from_secs(3600)).await;
        let refused: Vec<_> = results.iter().filter_map(|result| result.err()).collect();
        assert_eq!(refused.len(), 299);
        let late = refused.iter().filter(|waited| !waited.is_zero()).count();
        assert!(late <= 40, "{late} waited and were refused");
    }

    #[tokio::test(start_paused = true)]
    async fn only_handlers_that_compute_take_up_the_computing_limit() {
        let admission = admission(10, 1, 10);
        let mut first = enter(&admission, 1).await.expect("a free place");
        first.set_computing(true);
        let second = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { enter(&admission, 2).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(admission.running(), 1);
        first.set_computing(false);
        assert!(second.await.expect("no panic").is_ok());
    }
}
