//! The exchanges whose handlers run, and what can be seen of them from outside.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::timeout};

use crate::{
    config::Crowd,
    gateway::{environ::Peer, request::RequestHead},
    stack::Stack,
};

/// The handlers that run, and those that wait until they may.
#[derive(Debug)]
pub struct Roster {
    crowd: Crowd,
    running: Mutex<BTreeMap<u64, Arc<Watch>>>,
    /// How many of them compute, and have done so for longer than a tick.
    computing: AtomicUsize,
    queued: AtomicUsize,
    /// Somebody has ended, or computes no more.
    freed: Notify,
    /// How fast the queue moves.
    flow: Mutex<Flow>,
}

/// How fast a queue moves, as long as there is one.
#[derive(Debug, Default)]
struct Flow {
    /// When the last one went.
    last: Option<Instant>,
    /// How long it takes from one to the next, lately.
    interval: Option<Duration>,
}

impl Flow {
    /// One went. Nobody may be left in the queue.
    fn step(&mut self, now: Instant, is_last: bool) {
        if let Some(last) = self.last {
            let interval = now.duration_since(last);
            self.interval = Some(self.interval.map_or(interval, |before| (7 * before + interval) / 8));
        }
        self.last = Some(now);
        if is_last {
            *self = Self::default();
        }
    }

    /// How long the one behind so many others will wait, if that can be told.
    fn forecast(&self, others: usize) -> Option<Duration> {
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        self.interval.map(|interval| interval.saturating_mul(others.saturating_add(1)))
    }
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
            freed: Notify::new(),
            flow: Mutex::default(),
        }
    }

    /// Lets a handler run as soon as there is room for it. It is crossed out when the guard is dropped.
    ///
    /// # Errors
    ///
    /// There is no room for too long, or too many wait for it already.
    pub async fn enter(self: &Arc<Self>, id: u64, request: RequestHead, peer: Peer) -> Result<Running, Busy> {
        let watch = Arc::new(Watch::new(id, request, peer));
        // Nobody overtakes those who wait.
        if self.queued.load(Ordering::Relaxed) == 0
            && let Some(running) = self.try_enter(&watch)
        {
            return Ok(running);
        }
        let _queued = Queued::new(self)?;
        let admitted = timeout(self.crowd.queue_wait, async {
            loop {
                let mut freed = pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(running) = self.try_enter(&watch) {
                    lock(&self.flow).step(Instant::now(), self.queued.load(Ordering::Relaxed) <= 1);
                    return running;
                }
                freed.await;
            }
        });
        admitted.await.map_err(|_| Busy)
    }

    fn try_enter(self: &Arc<Self>, watch: &Arc<Watch>) -> Option<Running> {
        if self.computing.load(Ordering::Relaxed) >= self.crowd.computing {
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

    fn tell_the_next(&self) {
        if self.queued.load(Ordering::Relaxed) > 0 {
            self.freed.notify_one();
        }
    }

    /// Whether whoever joins the queue now will be let in in time, as far as can be told. If not, it had better know at once.
    /// A short queue is no overload: what moves one step in a second may move many in the next.
    fn is_worth_waiting(&self, others: usize) -> bool {
        others < self.crowd.queue / 4
            || lock(&self.flow).forecast(others).is_none_or(|wait| wait <= self.crowd.queue_wait)
    }
}

/// A place in the queue.
struct Queued<'a>(&'a Roster);

impl<'a> Queued<'a> {
    fn new(roster: &'a Roster) -> Result<Self, Busy> {
        let queued = Self(roster);
        let others = roster.queued.fetch_add(1, Ordering::Relaxed);
        if others >= roster.crowd.queue || !roster.is_worth_waiting(others) { Err(Busy) } else { Ok(queued) }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
        // Whoever was told that there is room, and left, has kept another one from it.
        self.0.tell_the_next();
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
            self.roster.computing.fetch_add(1, Ordering::Relaxed);
        } else {
            self.roster.computing.fetch_sub(1, Ordering::Relaxed);
            self.roster.tell_the_next();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.set_computing(false);
        lock(&self.roster.running).remove(&self.watch.id);
        self.roster.tell_the_next();
    }
}

/// What can be seen of a handler that runs, and what it used once it has ended.
#[derive(Debug)]
pub struct Watch {
    /// The exchange's id.
    pub id: u64,
    /// The request's head.
    pub request: RequestHead,
    /// The two ends of the connection.
    pub peer: Peer,
    /// When the handler began.
    pub began: Instant,
    /// In nanoseconds.
    cpu: AtomicU64,
    /// In octets.
    memory: AtomicU64,
    wait: Mutex<Option<Wait>>,
    wants_stack: AtomicBool,
    asked: Notify,
    stack: Mutex<Option<Stack>>,
}

/// A handler as it was at one moment.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The handler.
    pub watch: Arc<Watch>,
    /// What it waited for.
    pub wait: Option<Wait>,
    /// Where it was, if it has answered in time.
    pub stack: Option<Stack>,
}

/// A call of the host that has not returned yet.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The import that was called.
    pub import: &'static str,
    /// When it could not go on.
    pub since: Instant,
}

impl Watch {
    /// A handler that begins now.
    #[must_use]
    pub fn new(id: u64, request: RequestHead, peer: Peer) -> Self {
        Self {
            id,
            request,
            peer,
            began: Instant::now(),
            cpu: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            wait: Mutex::default(),
            wants_stack: AtomicBool::new(false),
            asked: Notify::new(),
            stack: Mutex::default(),
        }
    }

    /// How long the handler has computed.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    /// Adds to the time that it has computed, and gives the sum.
    pub fn add_cpu(&self, time: Duration) -> Duration {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.cpu.fetch_add(nanos, Ordering::Relaxed).saturating_add(nanos))
    }

    /// The most memory that its instance had, in octets.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Takes note of how much memory its instance has.
    pub fn set_memory(&self, octets: u64) {
        self.memory.fetch_max(octets, Ordering::Relaxed);
    }

    /// What it waits for.
    #[must_use]
    pub fn wait(&self) -> Option<Wait> {
        *lock(&self.wait)
    }

    /// Takes note of what it waits for, or that it goes on.
    pub fn set_wait(&self, wait: Option<Wait>) {
        *lock(&self.wait) = wait;
    }

    /// Asks for the stack. It is there at the handler's next tick if it computes, and soon if it waits.
    pub fn ask_for_stack(&self) {
        *lock(&self.stack) = None;
        self.wants_stack.store(true, Ordering::Relaxed);
        self.asked.notify_one();
    }

    /// Ready when somebody may have asked for the stack.
    pub fn asked(&self) -> impl Future<Output = ()> {
        self.asked.notified()
    }

    /// Whether somebody has asked for the stack, which is answered once.
    #[must_use]
    pub fn is_asked_for_stack(&self) -> bool {
        self.wants_stack.load(Ordering::Relaxed) && self.wants_stack.swap(false, Ordering::Relaxed)
    }

    /// Answers with the stack.
    pub fn set_stack(&self, stack: Stack) {
        *lock(&self.stack) = Some(stack);
    }

    /// The stack that was asked for, if it is there.
    #[must_use]
    pub fn stack(&self) -> Option<Stack> {
        lock(&self.stack).clone()
    }
}

/// What is in here is replaced as a whole, so a poisoned lock means nothing.
fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn who_would_wait_for_too_long_is_told_at_once() {
        let roster = roster(1, 1, 100);
        let begin = Instant::now();
        assert!(roster.is_worth_waiting(99), "nothing is known yet");
        for step in 0..50 {
            lock(&roster.flow).step(begin + step * Duration::from_millis(100), false);
        }
        assert!(roster.is_worth_waiting(24), "the queue is short");
        assert!(!roster.is_worth_waiting(25), "two seconds are enough for twenty");
        lock(&roster.flow).step(begin + Duration::from_secs(60), true);
        assert!(roster.is_worth_waiting(99), "a new queue may be another one");
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
