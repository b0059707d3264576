//! Limits the memory of each instance and of all instances together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use wasmtime::ResourceLimiter;

use crate::{admission::call_stats::CallStats, fault::MemoryLimit};

/// The memory that all instances of a process may use together, in bytes.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// Creates a budget of `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: AtomicUsize::new(0) }
    }

    /// Takes bytes from the budget, if enough are left. The last eighth is reserved for instances that are just
    /// starting, so that others can be served however many instances keep growing.
    fn take(&self, bytes: usize, is_beginning: bool) -> bool {
        let limit = if is_beginning { self.limit } else { self.limit - self.limit / 8 };
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The sum of an instance's memories and tables.
#[derive(Debug)]
pub(super) struct Memory {
    /// What each layer may use.
    limit: usize,
    layers: u32,
    used: usize,
    refusal: Option<MemoryLimit>,
    budget: Arc<Budget>,
    stats: Arc<CallStats>,
}

impl Memory {
    /// Creates the accounting of an instance of which each of the `layers` may use `limit` bytes, as long as the budget
    /// lasts. wasmtime does not say to which layer a memory belongs, so a single memory may have what a layer may use, and
    /// all of them what all layers may.
    #[must_use]
    pub(super) fn new(limit: u64, layers: u32, budget: &Arc<Budget>, stats: &Arc<CallStats>) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, layers, used: 0, refusal: None, budget: Arc::clone(budget), stats: Arc::clone(stats) }
    }

    /// The limit that the instance has hit, which may be the cause of its failure.
    #[must_use]
    pub(super) fn refusal(&self) -> Option<MemoryLimit> {
        self.refusal
    }

    /// Counts memory that the host uses for the instance, if it is within the limits. Such memory has to be taken back.
    pub(super) fn lend(&mut self, bytes: usize) -> bool {
        // The reserve is for instances that are just starting.
        self.grow(1, bytes.saturating_add(1))
    }

    /// Ends the use of memory that was lent.
    pub(super) fn take_back(&mut self, bytes: usize) {
        self.used -= bytes;
        self.budget.give_back(bytes);
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        let used = self.used.saturating_add(more);
        let limit = self.limit.saturating_mul(usize::try_from(self.layers).unwrap_or(usize::MAX));
        if desired > self.limit || used > limit {
            self.refusal = Some(MemoryLimit::Instance);
        } else if !self.budget.take(more, current == 0) {
            self.refusal = Some(MemoryLimit::Process);
        } else {
            self.used = used;
            self.stats.set_memory(used as u64);
            return true;
        }
        false
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.budget.give_back(self.used);
    }
}

/// Growing fails without a trap, so that a guest can handle it: Python raises `MemoryError`, for example.
impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(size_of::<usize>());
        Ok(self.grow(bytes(current), bytes(desired)))
    }
}

#[cfg(test)]
mod tests {

    use bytes::Bytes;

    use super::*;
    use crate::event::exchange::Exchange;
    use wasmserve_gateway::{environ::Peer, request::RequestHead};

    fn memory(budget: &Arc<Budget>) -> Memory {
        let peer = Peer { remote: ([127, 0, 0, 1], 1).into(), local: ([127, 0, 0, 1], 2).into() };
        let exchange = Exchange::new(1, peer, RequestHead::new(Bytes::new()));
        Memory::new(100, 1, budget, &Arc::new(CallStats::new(&exchange)))
    }

    #[test]
    fn f4_the_limit_applies_to_the_sum_of_all_memories_and_tables() {
        let budget = Arc::new(Budget::new(150));
        let mut memory = memory(&budget);
        assert!(memory.memory_growing(0, 60, None).expect("never fails"));
        assert!(!memory.memory_growing(0, 60, None).expect("never fails"));
        assert_eq!(memory.refusal(), Some(MemoryLimit::Instance));
        assert!(memory.memory_growing(60, 90, None).expect("never fails"));
        assert!(!memory.table_growing(0, 2, None).expect("never fails"));
        assert!(memory.table_growing(0, 1, None).expect("never fails"));
    }

    #[test]
    fn f5_all_instances_share_a_budget_and_return_their_memory_to_it() {
        let budget = Arc::new(Budget::new(150));
        let (mut first, mut second) = (memory(&budget), memory(&budget));
        assert!(first.memory_growing(0, 90, None).expect("never fails"));
        assert!(!second.memory_growing(0, 90, None).expect("never fails"));
        assert_eq!(second.refusal(), Some(MemoryLimit::Process));
        drop(first);
        assert!(second.memory_growing(0, 90, None).expect("never fails"));
    }

    #[test]
    fn f5_growing_instances_leave_memory_for_starting_ones() {
        let budget = Arc::new(Budget::new(160));
        let (mut large, mut other) = (memory(&budget), memory(&budget));
        assert!(large.memory_growing(0, 80, None).expect("never fails"));
        let mut second = memory(&budget);
        assert!(second.memory_growing(0, 50, None).expect("never fails"));
        assert!(!second.memory_growing(50, 70, None).expect("never fails"), "the reserve is for starting instances");
        assert!(other.memory_growing(0, 30, None).expect("never fails"));
    }
}
