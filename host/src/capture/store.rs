//! The records of completed exchanges, within a limit of memory that recordings share.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{footprint::footprint, record::Record};
use crate::base::lock::lock;

/// What is captured, and how much memory it may take.
#[derive(Clone, Copy, Debug)]
pub struct CaptureOptions {
    /// The bytes of memory for all recordings and records together.
    pub memory: usize,
    /// The bytes that are kept of each body, in each direction.
    pub body: usize,
}

impl CaptureOptions {
    /// The defaults of `--ui-memory` and `--capture-body`.
    pub const DEFAULT: Self = Self { memory: 64 << 20, body: 1 << 20 };
}

/// Receives each record once it is complete, in order, on the store's thread.
pub trait Sink: Send + Sync {
    /// Takes a record. Must return soon.
    fn take(&self, record: &Arc<Record>);

    /// Takes a record that is kept now, or no longer.
    fn kept(&self, _record: &Arc<Record>) {}
}

/// The records of completed exchanges. Removes the oldest when memory is needed, but none that is kept.
pub struct Store {
    pub(super) options: CaptureOptions,
    /// Bytes of memory in use.
    used: AtomicUsize,
    is_paused: AtomicBool,
    connections: AtomicU64,
    /// How many recordings are not complete.
    open: AtomicUsize,
    /// Completed recordings that the thread has not taken.
    completed: Mutex<Completed>,
    news: Condvar,
    records: Mutex<Records>,
    /// The seq of the newest record.
    newest: watch::Sender<u64>,
    sinks: Vec<Arc<dyn Sink>>,
}

#[derive(Default)]
struct Completed {
    records: Vec<(Record, usize)>,
    /// Whether the thread waits to be woken.
    is_awaited: bool,
    is_over: bool,
}

#[derive(Default)]
struct Records {
    all: BTreeMap<u64, Stored>,
    /// Those that may be removed, oldest first.
    removable: VecDeque<u64>,
    kept_bytes: usize,
    counts: Counts,
}

struct Stored {
    record: Arc<Record>,
    bytes: usize,
}

/// How many exchanges were captured, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges that were captured and are complete.
    pub seen: u64,
    /// Records that were removed because others needed the memory.
    pub removed: u64,
}

/// How long the thread gathers recordings that complete before it takes them: no request wakes it then. Those that complete
/// at almost the same time are put in the order in which they began.
const INTERVAL: Duration = Duration::from_millis(20);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.options)
    }
}

impl Store {
    /// Creates a store, whose records also go to `sinks`, and starts its thread.
    ///
    /// # Errors
    ///
    /// The system cannot create another thread.
    pub fn spawn(options: CaptureOptions, sinks: Vec<Arc<dyn Sink>>) -> std::io::Result<Arc<Self>> {
        let store = Arc::new(Self {
            options,
            used: AtomicUsize::new(0),
            is_paused: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            completed: Mutex::default(),
            news: Condvar::new(),
            records: Mutex::default(),
            newest: watch::Sender::new(0),
            sinks,
        });
        let of_thread = Arc::clone(&store);
        thread::Builder::new().name("capture".into()).spawn(move || of_thread.run())?;
        Ok(store)
    }

    /// Takes what is complete, and ends the thread. What is completed later is lost, so this waits for open recordings, at
    /// most for `timeout`: a handler's thread may still hold one whose response has been sent.
    pub fn end(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        while self.open.load(Ordering::Acquire) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        self.drain();
        lock(&self.completed).is_over = true;
        self.news.notify_one();
    }

    fn run(&self) {
        loop {
            let mut completed = lock(&self.completed);
            while completed.records.is_empty() && !self.is_tight() && !completed.is_over {
                completed.is_awaited = true;
                completed = self.news.wait(completed).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
            completed.is_awaited = false;
            let is_over = completed.is_over;
            drop(completed);
            if !is_over {
                thread::sleep(INTERVAL);
            }
            self.drain();
            if is_over {
                return;
            }
        }
    }

    /// Moves what is complete to the store, and removes what there is no memory for.
    fn drain(&self) {
        let mut records = lock(&self.records);
        let mut completed = std::mem::take(&mut lock(&self.completed).records);
        // A connection may close later than the next one, of the same client, begins and ends.
        completed.sort_by_key(|(record, _)| record.began);
        for (mut record, bytes) in completed {
            records.counts.seen += 1;
            record.seq = records.counts.seen;
            let record = Arc::new(record);
            self.sinks.iter().for_each(|sink| sink.take(&record));
            records.removable.push_back(record.seq);
            records.all.insert(record.seq, Stored { record, bytes });
        }
        let removed = self.make_room(&mut records);
        let seen = records.counts.seen;
        drop(records);
        // Frees their memory outside of the lock.
        drop(removed);
        self.newest.send_if_modified(|newest| std::mem::replace(newest, seen) != seen);
    }

    /// Removes the oldest records until an eighth of the memory is free.
    fn make_room(&self, records: &mut Records) -> Vec<Stored> {
        let mut removed = Vec::new();
        while self.is_tight() {
            let Some(seq) = records.removable.pop_front() else { break };
            // Those that are kept are not there any more.
            let Some(stored) = records.all.get(&seq) else { continue };
            if stored.record.kept.is_some() {
                continue;
            }
            if let Some(stored) = records.all.remove(&seq) {
                self.give_back(stored.bytes);
                records.counts.removed += 1;
                removed.push(stored);
            }
        }
        removed
    }

    fn is_tight(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.options.memory - self.options.memory / 8
    }

    /// Reserves memory. Returns whether there was enough.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used > self.options.memory {
            self.give_back(bytes);
        }
        used <= self.options.memory
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a recording that begins.
    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a recording that has ended, after its record was taken.
    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Release);
    }

    /// Takes a record that is complete, for which `bytes` of memory are reserved.
    pub(super) fn complete(&self, record: Record, bytes: usize) {
        let mut completed = lock(&self.completed);
        completed.records.push((record, bytes));
        if std::mem::replace(&mut completed.is_awaited, false) {
            self.news.notify_one();
        }
    }

    /// The number of the next connection that is captured.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether new exchanges are not captured.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    /// Stops or continues capturing. Exchanges that have begun are not affected.
    pub fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }

    /// The newest records before `before`, newest first, at most `limit`.
    #[must_use]
    pub fn before(&self, before: u64, limit: usize) -> Vec<Arc<Record>> {
        self.drain();
        let records = lock(&self.records);
        records.all.range(..before).rev().take(limit).map(|(_, stored)| Arc::clone(&stored.record)).collect()
    }

    /// The oldest records after `after`, oldest first, at most `limit`.
    #[must_use]
    pub fn after(&self, after: u64, limit: usize) -> Vec<Arc<Record>> {
        self.drain();
        let records = lock(&self.records);
        let after = records.all.range(after.saturating_add(1)..);
        after.take(limit).map(|(_, stored)| Arc::clone(&stored.record)).collect()
    }

    /// One record.
    #[must_use]
    pub fn get(&self, seq: u64) -> Option<Arc<Record>> {
        self.drain();
        lock(&self.records).all.get(&seq).map(|stored| Arc::clone(&stored.record))
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.drain();
        lock(&self.records).all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records that are kept, oldest first.
    #[must_use]
    pub fn kept(&self) -> Vec<Arc<Record>> {
        self.drain();
        let records = lock(&self.records);
        let all = records.all.values().map(|stored| &stored.record);
        all.filter(|record| record.kept.is_some()).map(Arc::clone).collect()
    }

    /// Keeps a record, with a note that may be empty, or no longer keeps it. Returns the record as it is now, or `None`
    /// if it is not there any more.
    ///
    /// # Errors
    ///
    /// What is kept would need more than half of the memory.
    pub fn keep(&self, seq: u64, note: Option<String>) -> Result<Option<Arc<Record>>, &'static str> {
        self.drain();
        let mut records = lock(&self.records);
        let memory = self.options.memory;
        let records = &mut *records;
        let Some(stored) = records.all.get_mut(&seq) else { return Ok(None) };
        let was_kept = stored.record.kept.is_some();
        if note.is_some() && !was_kept {
            if records.kept_bytes + stored.bytes > memory / 2 {
                return Err("the exchanges that are kept need half of --ui-memory already");
            }
            records.kept_bytes += stored.bytes;
        } else if note.is_none() && was_kept {
            records.kept_bytes -= stored.bytes;
            records.removable.push_front(seq);
        }
        let mut record = Record::clone(&stored.record);
        record.kept = note;
        stored.record = Arc::new(record);
        let record = Arc::clone(&stored.record);
        self.sinks.iter().for_each(|sink| sink.kept(&record));
        Ok(Some(record))
    }

    /// Puts a record of an earlier run into the store, which keeps it. Returns its seq, or `None` if there is no memory.
    pub fn restore(&self, mut record: Record) -> Option<u64> {
        let bytes = footprint(&record);
        let mut records = lock(&self.records);
        if records.kept_bytes + bytes > self.options.memory / 2 || !self.reserve(bytes) {
            return None;
        }
        records.kept_bytes += bytes;
        records.counts.seen += 1;
        let seq = records.counts.seen;
        record.seq = seq;
        record.kept.get_or_insert_default();
        records.all.insert(seq, Stored { record: Arc::new(record), bytes });
        drop(records);
        self.newest.send_replace(seq);
        Some(seq)
    }

    /// Puts records of files into a store that is empty, in this order, each with the memory that it needs. Counts
    /// `left_out` more, for which there was none.
    pub(super) fn fill(&self, all: Vec<(Record, usize)>, left_out: u64) {
        let mut records = lock(&self.records);
        records.counts = Counts { seen: left_out, removed: left_out };
        for (mut record, bytes) in all {
            self.used.fetch_add(bytes, Ordering::Relaxed);
            records.counts.seen += 1;
            record.seq = records.counts.seen;
            match record.kept {
                Some(_) => records.kept_bytes += bytes,
                None => records.removable.push_back(record.seq),
            }
            records.all.insert(record.seq, Stored { record: Arc::new(record), bytes });
        }
        let seen = records.counts.seen;
        drop(records);
        self.newest.send_replace(seen);
    }

    /// Removes all records that are not kept.
    pub fn clear(&self) {
        self.drain();
        let mut records = lock(&self.records);
        let (kept, cleared) =
            std::mem::take(&mut records.all).into_iter().partition(|(_, stored)| stored.record.kept.is_some());
        records.all = kept;
        records.removable.clear();
        drop(records);
        let cleared: BTreeMap<u64, Stored> = cleared;
        cleared.values().for_each(|stored| self.give_back(stored.bytes));
    }

    /// How many exchanges were captured so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.drain();
        lock(&self.records).counts
    }

    /// Bytes of memory in use, and the limit.
    #[must_use]
    pub fn memory(&self) -> (usize, usize) {
        (self.used.load(Ordering::Relaxed), self.options.memory)
    }

    /// Follows the store: the value is the seq of its newest record.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{record::Line, sample::record};

    #[test]
    fn what_completes_at_almost_the_same_time_is_in_the_order_in_which_it_began() {
        let store = Store::spawn(CaptureOptions::DEFAULT, Vec::new()).expect("the system has threads left");
        // Keeps the thread from taking only some of them.
        let records = lock(&store.records);
        for began in [3, 1, 2] {
            store.complete(Record { began, ..record(b"GET / HTTP/1.1\r\n\r\n", b"") }, 0);
        }
        drop(records);
        let all: Vec<_> = store.after(0, usize::MAX).iter().map(|record| (record.seq, record.began)).collect();
        assert_eq!(all, [(1, 1), (2, 2), (3, 3)]);
    }

    #[test]
    fn the_end_waits_for_recordings_that_are_still_open() {
        let store = Store::spawn(CaptureOptions::DEFAULT, Vec::new()).expect("the system has threads left");
        store.opened();
        thread::scope(|scope| {
            scope.spawn(|| store.end(Duration::from_secs(60)));
            store.complete(record(b"GET / HTTP/1.1\r\n\r\n", b""), 0);
            store.closed();
        });
        assert_eq!(store.counts().seen, 1);
        store.opened();
        store.end(Duration::ZERO);
    }

    #[test]
    fn o4_the_log_of_a_record_that_is_restored_takes_memory_too() {
        let options = CaptureOptions { memory: 1 << 20, ..CaptureOptions::DEFAULT };
        let store = Store::spawn(options, Vec::new()).expect("the system has threads left");
        let with_log = |length| {
            let lines = vec![Line { at: 0, stream: "log".into(), text: "x".repeat(length) }];
            Record { lines, ..record(b"GET / HTTP/1.1\r\n\r\n", b"") }
        };
        assert_eq!(store.restore(with_log(600 << 10)), None, "it is more than half of the memory");
        assert_eq!(store.restore(with_log(300 << 10)), Some(1));
        assert!(store.memory().0 > 300 << 10);
    }
}
