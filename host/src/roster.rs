//! The exchanges whose handlers run, and what can be seen of them from outside.

mod flow;
mod watch;

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant as Moment, timeout},
};

use self::flow::Flow;
pub use self::watch::{Sight, Wait, Watch};
use crate::{
    config::Crowd,
    gateway::{environ::Peer, request::RequestHead},
};

/// The handlers that run, and those that wait until they may.
#[derive(Debug)]
pub struct Roster {
    crowd: Crowd,
    running: Mutex<BTreeMap<u64, Arc<Watch>>>,
    /// How many of them compute, and have done so for longer than a tick.
    computing: AtomicUsize,
    /// How many wait. Changed under the lock of the flow.
    queued: AtomicUsize,
    /// The one permit of the first of them, who alone looks for room. It goes from one to the next in order.
    first: Semaphore,
    /// Somebody has ended, or computes no more.
    freed: Notify,
    /// How fast the queue moves.
    flow: Mutex<Flow>,
}

/// As many handlers run as may, and as many wait for them as may.
#[derive(Clone, Copy, Debug)]
pub struct Busy;

impl Roster {
    /// Nobody runs, and then no more than these.
    #[must_use]
    pub fn new(crowd: Crowd) -> Self {
        Self {
            crowd,
            running: Mutex::default(),
            computing: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            first: Semaphore::new(1),
            freed: Notify::new(),
            flow: Mutex::default(),
        }
    }

    /// Lets a handler run as soon as there is room for it. It is crossed out when the guard is dropped.
    ///
    /// # Errors
    ///
    /// There is no room for too long; or there would be none in time, which is told at once.
    pub async fn enter(self: &Arc<Self>, id: u64, request: RequestHead, peer: Peer) -> Result<Running, Busy> {
        let watch = Arc::new(Watch::new(id, request, peer));
        // Nobody overtakes those who wait.
        if self.queued.load(Ordering::SeqCst) == 0
            && let Some(running) = self.try_enter(&watch)
        {
            return Ok(running);
        }
        let _queued = Queued::new(self)?;
        let admitted = timeout(self.crowd.queue_wait, async {
            let _first = self.first.acquire().await;
            loop {
                let mut freed = pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(running) = self.try_enter(&watch) {
                    lock(&self.flow).step(Moment::now());
                    return running;
                }
                freed.await;
            }
        });
        admitted.await.map_err(|_| {
            lock(&self.flow).give_up(Moment::now());
            Busy
        })
    }

    fn try_enter(self: &Arc<Self>, watch: &Arc<Watch>) -> Option<Running> {
        if self.computing.load(Ordering::SeqCst) >= self.crowd.computing {
            return None;
        }
        let mut running = lock(&self.running);
        if running.len() >= self.crowd.exchanges {
            return None;
        }
        running.insert(watch.id, Arc::clone(watch));
        Some(Running { roster: Arc::clone(self), watch: Arc::clone(watch), is_computing: false })
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.running).len()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that run, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Watch>> {
        lock(&self.running).values().cloned().collect()
    }

    /// There may be room now. `SeqCst`, here and where it is looked for: one of the two has to see what the other one did.
    fn tell_the_first(&self) {
        if self.queued.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }
}

/// A place in the queue.
struct Queued<'a>(&'a Roster);

impl<'a> Queued<'a> {
    fn new(roster: &'a Roster) -> Result<Self, Busy> {
        let Crowd { queue, queue_wait, .. } = roster.crowd;
        let (mut flow, now) = (lock(&roster.flow), Moment::now());
        let others = roster.queued.load(Ordering::SeqCst);
        if others >= queue || !flow.is_worth_joining(others, queue_wait, now) {
            return Err(Busy);
        }
        flow.join(now);
        roster.queued.store(others + 1, Ordering::SeqCst);
        Ok(Self(roster))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut flow = lock(&self.0.flow);
        if self.0.queued.fetch_sub(1, Ordering::SeqCst) == 1 {
            flow.end();
        }
    }
}

/// A handler that runs, on the roster.
#[derive(Debug)]
pub struct Running {
    roster: Arc<Roster>,
    watch: Arc<Watch>,
    is_computing: bool,
}

impl Running {
    /// What can be seen of it.
    #[must_use]
    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Takes note of whether it computes, and has done so for longer than a tick.
    pub fn set_computing(&mut self, is_computing: bool) {
        if is_computing == self.is_computing {
            return;
        }
        self.is_computing = is_computing;
        if is_computing {
            self.roster.computing.fetch_add(1, Ordering::SeqCst);
        } else {
            self.roster.computing.fetch_sub(1, Ordering::SeqCst);
            self.roster.tell_the_first();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.set_computing(false);
        lock(&self.roster.running).remove(&self.watch.id);
        self.roster.tell_the_first();
    }
}

/// What is in here is replaced as a whole, so a poisoned lock means nothing.
fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn roster(exchanges: usize, computing: usize, queue: usize) -> Arc<Roster> {
        Arc::new(Roster::new(Crowd { exchanges, computing, queue, queue_wait: Duration::from_secs(2) }))
    }

    async fn enter(roster: &Arc<Roster>, id: u64) -> Result<Running, Busy> {
        let peer = Peer { remote: ([127, 0, 0, 1], 1).into(), local: ([127, 0, 0, 1], 2).into() };
        roster.enter(id, RequestHead::new(Bytes::new()), peer).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_waits_and_gives_up_in_the_end() {
        let roster = roster(1, 1, 1);
        let first = enter(&roster, 1).await.expect("there is room");
        let begin = tokio::time::Instant::now();
        assert!(enter(&roster, 2).await.is_err());
        assert_eq!(begin.elapsed().as_secs(), 2);
        drop(first);
        assert!(enter(&roster, 3).await.is_ok());
        assert!(roster.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_sheds_at_once_and_the_others_go_in_order() {
        let roster = roster(1, 1, 2);
        let first = enter(&roster, 1).await.expect("there is room");
        let waiting = [2, 3].map(|id| {
            tokio::spawn({
                let roster = Arc::clone(&roster);
                async move { enter(&roster, id).await }
            })
        });
        tokio::task::yield_now().await;
        let begin = tokio::time::Instant::now();
        assert!(enter(&roster, 4).await.is_err());
        assert_eq!(begin.elapsed(), Duration::ZERO);
        drop(first);
        for (task, id) in waiting.into_iter().zip([2, 3]) {
            let running = task.await.expect("it ends").expect("there is room");
            assert_eq!(running.watch().id, id);
        }
    }

    /// Has requests come at a pace, each of which takes one of the places for so long: how long each waited for its place, or
    /// to be told that there is none.
    async fn crowd(
        roster: &Arc<Roster>,
        count: u64,
        pace: Duration,
        work: Duration,
    ) -> Vec<Result<Duration, Duration>> {
        let mut tasks = Vec::new();
        for id in 0..count {
            let roster = Arc::clone(roster);
            tasks.push(tokio::spawn(async move {
                let begun = Moment::now();
                let running = enter(&roster, id).await.map_err(|Busy| begun.elapsed())?;
                let waited = begun.elapsed();
                tokio::time::sleep(work).await;
                drop(running);
                Ok(waited)
            }));
            tokio::time::sleep(pace).await;
        }
        let mut came = Vec::new();
        for task in tasks {
            came.push(task.await.expect("it does not panic"));
        }
        came
    }

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn in_an_overload_nobody_waits_in_vain_and_as_many_are_served_as_can_be() {
        for times in [2, 3, 10] {
            let roster = roster(4, 4, 256);
            // Four places and 40 ms for each make 100 a second, for 30 seconds.
            let came = crowd(&roster, u64::from(times) * 3000, 10 * MS / times, 40 * MS).await;
            let served: Vec<_> = came.iter().filter_map(|came| came.ok()).collect();
            let told: Vec<_> = came.iter().filter_map(|came| came.err()).collect();
            assert!(served.len() >= 2900, "{times}: {} were served", served.len());
            assert!(served.iter().all(|waited| *waited <= 1200 * MS), "{times}: {:?}", served.iter().max());
            assert!(told.iter().all(Duration::is_zero), "{times}: {:?}", told.iter().max());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_that_can_be_served_is() {
        let roster = roster(4, 4, 256);
        for _ in 0..3 {
            let came = crowd(&roster, 180, Duration::ZERO, 40 * MS).await;
            assert!(came.iter().all(Result::is_ok), "it takes less than two seconds");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_moves_only_the_first_ones_wait_for_it() {
        let roster = roster(1, 1, 256);
        let came = crowd(&roster, 300, 100 * MS, Duration::from_secs(3600)).await;
        let told: Vec<_> = came.iter().filter_map(|came| came.err()).collect();
        assert_eq!(told.len(), 299);
        let late = told.iter().filter(|waited| !waited.is_zero()).count();
        assert!(late <= 40, "{late} have waited in vain");
    }

    #[tokio::test(start_paused = true)]
    async fn handlers_that_compute_keep_others_out_and_those_that_wait_do_not() {
        let roster = roster(10, 1, 10);
        let mut first = enter(&roster, 1).await.expect("there is room");
        first.set_computing(true);
        let second = tokio::spawn({
            let roster = Arc::clone(&roster);
            async move { enter(&roster, 2).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(roster.len(), 1);
        first.set_computing(false);
        assert!(second.await.expect("it ends").is_ok());
    }
}
