//! The CPU time, memory and stack of a running handler, as seen from outside.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    base::{
        lock::lock,
        stack::{Stack, Wait},
    },
    event::{exchange::Exchange, snapshot::Snapshot},
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
    wait: Mutex<Option<Wait>>,
    wants_stack: AtomicBool,
    /// Notified when a stack is requested.
    asked: Notify,
    answer: Mutex<Answer>,
    /// Notified when the stack is available or the handler has ended.
    answered: Notify,
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
            wait: Mutex::default(),
            wants_stack: AtomicBool::new(false),
            asked: Notify::new(),
            answer: Mutex::default(),
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

    /// Records the host call that the handler is blocked in, or `None` when it continues.
    pub fn set_wait(&self, wait: Option<Wait>) {
        *lock(&self.wait) = wait;
    }

    /// Whether the handler is blocked in a host call.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        lock(&self.wait).is_some()
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
        let stack = match lock(&self.answer).clone() {
            Answer::Stack(stack) => Some(stack),
            Answer::Nothing | Answer::Ended => None,
        };
        let (cpu, memory, wait) = (self.cpu(), self.memory(), *lock(&self.wait));
        Snapshot { id, head, peer, began: self.began, cpu, memory, wait, stack }
    }
}
