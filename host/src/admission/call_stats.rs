//! The CPU time, memory and stack of a running handler, as seen from outside.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::{
    base::{
        lock::lock,
        stack::{Stack, Wait},
    },
    event::{exchange::Exchange, snapshot::Snapshot},
    fault::Fault,
};

/// What a running handler uses, and what it used once it has ended.
#[derive(Debug)]
pub struct CallStats {
    /// The exchange that it answers.
    pub exchange: Exchange,
    /// When the handler asked to run.
    pub began: Instant,
    /// In nanoseconds.
    cpu: AtomicU64,
    /// In bytes.
    memory: AtomicU64,
    /// In the order in which they began.
    waits: Mutex<Vec<Waited>>,
    wants_stack: AtomicBool,
    /// Notified when a stack is requested.
    asked: Notify,
    answer: Mutex<Answer>,
    /// Whether the user asked to end the handler.
    must_end: AtomicBool,
    /// Woken when the user asks for that.
    ending: AtomicWaker,
    /// Notified when the stack is available or the handler has ended.
    answered: Notify,
}

/// A host call that has not returned yet.
#[derive(Debug)]
struct Waited {
    wait: Wait,
    /// Where the handler made the call, if it may be somewhere else now.
    stack: Option<Stack>,
}

/// Records that the handler waits for a host call, for as long as this exists.
#[derive(Debug)]
pub(crate) struct Waiting {
    stats: Arc<CallStats>,
    wait: Wait,
}

impl Waiting {
    /// What the handler waits for.
    pub(crate) fn wait(&self) -> Wait {
        self.wait
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = lock(&self.stats.waits);
        if let Some(at) = waits.iter().position(|waited| waited.wait == self.wait) {
            waits.remove(at);
        }
    }
}

/// A handler's response to a request for its stack.
#[derive(Clone, Debug, Default)]
enum Answer {
    #[default]
    Nothing,
    Stack(Stack),
    /// The handler has ended.
    Ended,
}

impl CallStats {
    /// The statistics of a handler that starts now.
    #[must_use]
    pub fn new(exchange: &Exchange) -> Self {
        Self {
            exchange: exchange.clone(),
            began: Instant::now(),
            cpu: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            waits: Mutex::default(),
            wants_stack: AtomicBool::new(false),
            asked: Notify::new(),
            answer: Mutex::default(),
            must_end: AtomicBool::new(false),
            ending: AtomicWaker::new(),
            answered: Notify::new(),
        }
    }

    /// The CPU time used so far.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    /// Adds CPU time, and returns the total.
    pub fn add_cpu(&self, time: Duration) -> Duration {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.cpu.fetch_add(nanos, Ordering::Relaxed).saturating_add(nanos))
    }

    /// The peak memory of the instance, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Records the current memory of the instance.
    pub fn set_memory(&self, bytes: u64) {
        self.memory.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Records that the handler waits for a host call from now on, until the result is dropped. `stack` is where it made
    /// the call, if it goes on in the meantime. Then there may be several of these at a time.
    #[must_use]
    pub(crate) fn begin_wait(self: &Arc<Self>, import: &'static str, stack: Option<Stack>) -> Waiting {
        let wait = Wait { import, since: Instant::now() };
        lock(&self.waits).push(Waited { wait, stack });
        Waiting { stats: Arc::clone(self), wait }
    }

    /// What the handler has waited for longest, and where it made that call.
    pub(crate) fn longest_wait(&self) -> Option<(Wait, Option<Stack>)> {
        lock(&self.waits).first().map(|waited| (waited.wait, waited.stack.clone()))
    }

    /// Whether the handler is blocked in a host call, so that it cannot go on in the meantime.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        lock(&self.waits).iter().any(|waited| waited.stack.is_none())
    }

    /// Requests the stack. It is available at the handler's next tick if it computes, and soon if it waits.
    pub(super) fn ask_for_stack(&self) {
        *lock(&self.answer) = Answer::Nothing;
        self.wants_stack.store(true, Ordering::Relaxed);
        self.asked.notify_one();
    }

    /// Ready when the stack may have been requested.
    pub fn asked(&self) -> impl Future<Output = ()> {
        self.asked.notified()
    }

    /// Whether the stack has been requested. Clears the request.
    #[must_use]
    pub fn is_asked_for_stack(&self) -> bool {
        self.wants_stack.load(Ordering::Relaxed) && self.wants_stack.swap(false, Ordering::Relaxed)
    }

    /// Provides the stack.
    pub fn set_stack(&self, stack: Stack) {
        self.set_answer(Answer::Stack(stack));
    }

    /// Asks to end the handler. That happens when it waits next, or is next interrupted.
    pub(super) fn ask_to_end(&self) {
        self.must_end.store(true, Ordering::Relaxed);
        self.ending.wake();
    }

    /// Why a handler that has not ended must end now, if the user asked for it. Otherwise wakes `waker` when they do.
    pub(crate) fn poll_end(&self, waker: &Waker) -> Option<Fault> {
        self.ending.register(waker);
        let must_end = self.must_end.load(Ordering::Relaxed);
        must_end.then(|| Fault::Ended {
            wait: self.longest_wait().map(|(wait, _)| wait),
            stack: self.stack().unwrap_or_default(),
        })
    }

    /// The last stack that was requested, if there is one.
    fn stack(&self) -> Option<Stack> {
        match lock(&self.answer).clone() {
            Answer::Stack(stack) => Some(stack),
            Answer::Nothing | Answer::Ended => None,
        }
    }

    /// Marks the handler as ended.
    pub(super) fn end(&self) {
        self.set_answer(Answer::Ended);
    }

    fn set_answer(&self, answer: Answer) {
        *lock(&self.answer) = answer;
        self.answered.notify_waiters();
    }

    /// Ready when the stack is available or the handler has ended.
    pub(super) async fn answered(&self) {
        loop {
            let mut answered = pin!(self.answered.notified());
            answered.as_mut().enable();
            if !matches!(*lock(&self.answer), Answer::Nothing) {
                return;
            }
            answered.await;
        }
    }

    /// The current state of the handler.
    pub(super) fn snapshot(&self) -> Snapshot {
        let Exchange { id, peer, head, .. } = self.exchange.clone();
        let stack = self.stack();
        let (cpu, memory, wait) = (self.cpu(), self.memory(), self.longest_wait().map(|(wait, _)| wait));
        Snapshot { id, head, peer, began: self.began, cpu, memory, wait, stack }
    }
}
