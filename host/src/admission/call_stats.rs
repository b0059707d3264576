//! What can be seen of a handler from outside.

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

/// What can be seen of a handler that runs, and what it used once it has ended.
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
    /// Notified when somebody asks for the stack.
    asked: Notify,
    answer: Mutex<Answer>,
    /// Notified when the stack is there, or the handler has ended.
    answered: Notify,
}

/// What a handler has answered to the question where it is.
#[derive(Clone, Debug, Default)]
enum Answer {
    #[default]
    Nothing,
    Stack(Stack),
    /// It has ended.
    Ended,
}

impl CallStats {
    /// Those of a handler that begins now.
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

    /// The most memory that its instance had, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Takes note of how much memory its instance has.
    pub fn set_memory(&self, bytes: u64) {
        self.memory.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Takes note of what it waits for, or that it goes on.
    pub fn set_wait(&self, wait: Option<Wait>) {
        *lock(&self.wait) = wait;
    }

    /// Asks for the stack. It is there at the handler's next tick if it computes, and soon if it waits.
    pub(super) fn ask_for_stack(&self) {
        *lock(&self.answer) = Answer::Nothing;
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
        self.set_answer(Answer::Stack(stack));
    }

    /// The handler has ended.
    pub(super) fn end(&self) {
        self.set_answer(Answer::Ended);
    }

    fn set_answer(&self, answer: Answer) {
        *lock(&self.answer) = answer;
        self.answered.notify_waiters();
    }

    /// Ready when the stack is there, or the handler has ended.
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

    /// The handler as it is now.
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
