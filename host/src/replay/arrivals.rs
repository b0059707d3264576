//! Passes the records of replays to those who wait for them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;

use crate::{
    base::lock::lock,
    capture::{
        record::{Origin, Record},
        store::Sink,
    },
};

/// Passes the records of replays to those who wait for them. One of the store's sinks.
#[derive(Default)]
pub(crate) struct Arrivals(Mutex<HashMap<u64, oneshot::Sender<Arc<Record>>>>);

impl Arrivals {
    /// Waits for the record of the replay with this number, which has not begun.
    pub(super) fn expect(&self, number: u64) -> oneshot::Receiver<Arc<Record>> {
        let (sender, record) = oneshot::channel();
        let mut expected = lock(&self.0);
        // Those whose replays failed.
        expected.retain(|_, sender| !sender.is_closed());
        expected.insert(number, sender);
        record
    }
}

impl Sink for Arrivals {
    fn take(&self, record: &Arc<Record>) {
        if let Origin::Replay { number, .. } = record.origin
            && let Some(expected) = lock(&self.0).remove(&number)
        {
            _ = expected.send(Arc::clone(record));
        }
    }
}
