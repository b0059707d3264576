//! What can be seen of a handler from outside.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::lock;
use crate::{
    gateway::{environ::Peer, request::RequestHead},
    stack::Stack,
};

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
