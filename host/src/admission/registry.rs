//! The registry of running handlers.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::call_stats::CallStats;
use crate::{base::lock::lock, event::snapshot::Snapshot};

/// How long handlers have to report their stacks.
const STACK_TIMEOUT: Duration = Duration::from_millis(300);

/// The running handlers, by exchange id.
#[derive(Debug, Default)]
pub(super) struct Registry {
    running: Mutex<BTreeMap<u64, Arc<CallStats>>>,
    /// Notified when the last handler has ended.
    emptied: Notify,
}

impl Registry {
    /// Adds a handler unless there are `max` already. Returns whether it was added.
    pub(super) fn try_insert(&self, stats: &Arc<CallStats>, max: usize) -> bool {
        let mut running = lock(&self.running);
        if running.len() >= max {
            return false;
        }
        running.insert(stats.exchange.id, Arc::clone(stats));
        true
    }

    pub(super) fn remove(&self, stats: &CallStats) {
        let mut running = lock(&self.running);
        running.remove(&stats.exchange.id);
        if running.is_empty() {
            self.emptied.notify_waiters();
        }
        drop(running);
        stats.end();
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.running).len()
    }

    /// Ready when no handler is running.
    pub(super) async fn emptied(&self) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Snapshots of all running handlers, oldest first, without their stacks. Does not disturb them.
    pub(super) fn glance(&self) -> Vec<Snapshot> {
        let running = lock(&self.running);
        running.values().map(|stats| Snapshot { stack: None, ..stats.snapshot() }).collect()
    }

    /// A snapshot of one handler, with the stack if it reports it within [`STACK_TIMEOUT`]; `None` if it is not running.
    pub(super) async fn snapshot(&self, id: u64) -> Option<Snapshot> {
        let stats = self.find(id)?;
        stats.ask_for_stack();
        _ = timeout(STACK_TIMEOUT, stats.answered()).await;
        Some(stats.snapshot())
    }

    /// Ends a handler, once it has reported its stack. Returns whether it was running.
    pub(super) async fn end(&self, id: u64) -> bool {
        let Some(stats) = self.find(id) else { return false };
        stats.ask_for_stack();
        _ = timeout(STACK_TIMEOUT, stats.answered()).await;
        stats.ask_to_end();
        true
    }

    fn find(&self, id: u64) -> Option<Arc<CallStats>> {
        lock(&self.running).get(&id).cloned()
    }

    /// Snapshots of all running handlers, oldest first, with the stacks reported within [`STACK_TIMEOUT`].
    pub(super) async fn snapshots(&self) -> Vec<Snapshot> {
        let running: Vec<_> = lock(&self.running).values().cloned().collect();
        running.iter().for_each(|stats| stats.ask_for_stack());
        let answers = async {
            for stats in &running {
                stats.answered().await;
            }
        };
        // Handlers that did not report in time are shown without a stack.
        _ = timeout(STACK_TIMEOUT, answers).await;
        running.iter().map(|stats| stats.snapshot()).collect()
    }
}
