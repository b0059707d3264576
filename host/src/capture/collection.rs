//! The exchanges of captures in files, as many as memory may hold: those that are kept, and the newest of the others.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
    path::Path,
    sync::Arc,
};

use super::{
    archive::KEPT,
    footprint::footprint,
    record::{Origin, Record},
    store::{CaptureOptions, Store},
    warc,
};

/// Exchanges of one or several captures, in the order in which they began.
#[derive(Debug)]
pub(crate) struct Collection {
    /// The bytes of memory that they may take.
    memory: usize,
    used: usize,
    of_kept: usize,
    held: BTreeMap<Key, Held>,
    /// Those that may be left out.
    removable: BTreeSet<Key>,
    read: u64,
    /// How many captures have been read: the position of the one at hand.
    captures: usize,
}

/// When an exchange began, and how many were read before it.
type Key = (u64, u64);

#[derive(Debug)]
struct Held {
    record: Record,
    bytes: usize,
    /// The capture that it is from.
    capture: usize,
}

/// What no two exchanges of a capture have in common.
type Identity = (u64, u64, u64, u32);

fn identity(record: &Record) -> Identity {
    (record.began, record.id, record.connection, record.nth)
}

impl Collection {
    /// An empty collection, for a store with this much memory.
    #[must_use]
    pub(crate) fn new(memory: usize) -> Self {
        Self { memory, used: 0, of_kept: 0, held: BTreeMap::new(), removable: BTreeSet::new(), read: 0, captures: 0 }
    }

    /// Adds a capture: a file, or a directory of `--capture` with what was kept. `report` gets a line for each part that
    /// cannot be read.
    ///
    /// # Errors
    ///
    /// The path cannot be read, or is a directory without captures.
    pub(crate) fn add(&mut self, path: &Path, mut report: impl FnMut(String)) -> anyhow::Result<()> {
        let mut files = warc::read_path(path)?;
        // What is kept is in two files, and only one of them has the note.
        let mut known = HashSet::new();
        let kept = path.join(KEPT);
        if kept.is_dir()
            && let Ok(mut files) = warc::read_path(&kept)
        {
            for mut record in files.by_ref() {
                record.kept.get_or_insert_default();
                let identity = identity(&record);
                if self.take(record) {
                    known.insert(identity);
                }
            }
            files.problems().into_iter().for_each(&mut report);
        }
        for record in files.by_ref() {
            if !known.contains(&identity(&record)) {
                self.take(record);
            }
        }
        files.problems().into_iter().for_each(&mut report);
        self.captures += 1;
        Ok(())
    }

    /// Takes a record, and makes room for it. Returns whether it is held.
    fn take(&mut self, record: Record) -> bool {
        let bytes = footprint(&record);
        let key = (record.began, self.read);
        self.read += 1;
        self.used += bytes;
        let is_kept = record.kept.is_some() && self.of_kept + bytes <= self.memory / 2;
        if is_kept {
            self.of_kept += bytes;
        } else {
            self.removable.insert(key);
        }
        self.held.insert(key, Held { record, bytes, capture: self.captures });
        // A store that is fuller makes room itself.
        while self.used > self.memory - self.memory / 8
            && let Some(oldest) = self.removable.pop_first()
        {
            self.used -= self.held.remove(&oldest).map_or(0, |held| held.bytes);
        }
        self.held.contains_key(&key)
    }

    /// Whether no exchange is held.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many were read, but need more memory than there is.
    #[must_use]
    pub(crate) fn left_out(&self) -> u64 {
        self.read - self.held.len() as u64
    }

    /// A store with these exchanges, and which capture each of them is from: the position of the capture, by the seq of the
    /// exchange.
    ///
    /// # Errors
    ///
    /// The system cannot create another thread.
    pub(crate) fn into_store(self) -> io::Result<(Arc<Store>, BTreeMap<u64, usize>)> {
        let left_out = self.left_out();
        let store = Store::spawn(CaptureOptions { memory: self.memory, ..CaptureOptions::DEFAULT }, Vec::new())?;
        // A replay names its original by its position in the store of then.
        let mut originals: HashMap<(usize, u64, u64), u64> = HashMap::new();
        let (mut records, mut captures) = (Vec::with_capacity(self.held.len()), BTreeMap::new());
        for (Held { mut record, bytes, capture }, seq) in self.held.into_values().zip(left_out + 1..) {
            if let Origin::Replay { of, id, .. } = &mut record.origin {
                *of = of.and_then(|of| originals.get(&(capture, *id, of)).copied());
            }
            originals.insert((capture, record.id, record.seq), seq);
            captures.insert(seq, capture);
            records.push((record, bytes));
        }
        store.fill(records, left_out);
        Ok((store, captures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::sample;

    const MEMORY: usize = 1 << 20;

    fn record(id: u64, began: u64) -> Record {
        let record = sample::record(b"GET / HTTP/1.1\r\n\r\n", &[b'x'; 100 << 10]);
        Record { id, seq: id, began, ..record }
    }

    fn ids(store: &Store) -> Vec<u64> {
        store.after(0, usize::MAX).iter().map(|record| record.id).collect()
    }

    #[test]
    fn exchanges_of_several_captures_are_in_the_order_in_which_they_began() {
        let mut collection = Collection::new(MEMORY);
        for (id, began) in [(1, 10), (2, 30), (3, 20), (4, 10)] {
            assert!(collection.take(record(id, began)), "{id}");
        }
        let (store, _) = collection.into_store().expect("the system has threads left");
        assert_eq!(ids(&store), [1, 4, 3, 2]);
        assert_eq!((store.counts().seen, store.counts().removed), (4, 0));
    }

    #[test]
    fn o4_what_does_not_fit_is_counted_and_the_newest_and_those_that_are_kept_stay() {
        let mut collection = Collection::new(MEMORY);
        let kept = Record { kept: Some("a note".into()), ..record(1, 1) };
        assert!(collection.take(kept));
        // The newest first, so that the oldest do not fit any more.
        let held: Vec<u64> = (2..=20).rev().filter(|id| collection.take(record(*id, *id))).collect();
        assert!(collection.used <= MEMORY - MEMORY / 8, "{}", collection.used);
        let left_out = collection.left_out();
        assert_eq!(left_out, 19 - held.len() as u64);
        assert!(left_out > 0 && held.len() > 5, "{held:?}");
        let (store, _) = collection.into_store().expect("the system has threads left");
        let expected: Vec<u64> = std::iter::once(1).chain(held.into_iter().rev()).collect();
        assert_eq!(ids(&store), expected);
        assert_eq!((store.counts().seen, store.counts().removed), (20, left_out));
        assert_eq!(store.kept()[0].kept.as_deref(), Some("a note"));
    }

    #[test]
    fn o4_no_more_is_kept_than_half_of_the_memory() {
        let mut collection = Collection::new(MEMORY);
        for id in 1..=20 {
            collection.take(Record { kept: Some(String::new()), ..record(id, id) });
        }
        assert!(collection.used <= MEMORY - MEMORY / 8, "{}", collection.used);
        assert!(collection.left_out() > 0);
    }

    #[test]
    fn a_replay_leads_to_its_original_in_its_own_capture_only() {
        let mut collection = Collection::new(MEMORY);
        collection.captures = 1;
        collection.take(record(7, 1));
        collection.captures = 2;
        collection.take(record(7, 2));
        let origin = |of| Origin::Replay { of: Some(of), id: 7, edited: false, script: None, number: 0 };
        collection.take(Record { origin: origin(7), ..record(8, 3) });
        // The original is not among the files.
        collection.take(Record { origin: origin(3), ..record(9, 4) });
        let (store, captures) = collection.into_store().expect("the system has threads left");
        assert_eq!(captures, BTreeMap::from([(1, 1), (2, 2), (3, 2), (4, 2)]));
        let of = |seq| match store.get(seq).expect("it is there").origin {
            Origin::Replay { of, .. } => of,
            Origin::Client => None,
        };
        assert_eq!((of(3), of(4)), (Some(2), None));
    }
}
