//! The state that all pages of the viewer share: what they show, and what they change.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use wasmserve_gateway::{escape::escape, mounts::Mount};

use super::door::Refusal;
use crate::{
    capture::{
        archive::Archive,
        record::{Build, Record},
        redact::Redaction,
        store::Store,
        time::micros,
    },
    event::snapshot::Snapshot,
    exchange::Exchanges,
    kind::bin::Bin,
    replay::{replayer::Replayer, saved::Saved},
    source::live::Live,
};

/// How many pages may follow at the same time.
pub(super) const STREAMS_MAX: u32 = 8;

/// How many running handlers are listed.
const RUNNING_MAX: usize = 200;

/// How many changes a page may be behind before it misses some.
const CHANGES_MAX: usize = 64;

/// What the viewer shows, and may change.
pub(crate) struct Subject {
    /// The captured exchanges.
    pub store: Arc<Store>,
    /// The files that exchanges are written to, if they are.
    pub archive: Option<Arc<Archive>>,
    /// The state of all exchanges: the mounts and what is running.
    pub exchanges: Arc<Exchanges>,
    /// The URL at which the handlers are served.
    pub url: String,
    /// The request bin, if it is one of them.
    pub bin: Option<Arc<Bin>>,
    /// Sends captured requests again.
    pub replayer: Replayer,
    /// What became of the exchanges that are kept when a handler was replaced.
    pub saved: Saved,
    /// What exports do not contain.
    pub redaction: Redaction,
}

/// The state of the viewer.
pub(super) struct Hub {
    pub(super) subject: Subject,
    /// A permit for each stream of events.
    streams: Arc<Semaphore>,
    changes: broadcast::Sender<Change>,
    is_ended: watch::Receiver<bool>,
}

/// Something that a page has changed, and that other pages show, too.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// An exchange is kept, or no longer.
    Kept(Arc<Record>),
    /// Capturing was paused, or continued.
    Paused(bool),
    /// All exchanges that are not kept were removed.
    Cleared,
}

impl Hub {
    pub(super) fn new(subject: Subject, is_ended: watch::Receiver<bool>) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX as usize));
        Self { subject, streams, changes: broadcast::Sender::new(CHANGES_MAX), is_ended }
    }

    /// A permit for a stream of events, if there may be one more.
    pub(super) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    /// Reports to all pages what one of them has changed.
    pub(super) fn changed(&self, change: Change) {
        // Fails only if no page follows.
        _ = self.changes.send(change);
    }

    /// Follows what pages change.
    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Whether the server ends.
    pub(super) fn is_ended(&self) -> watch::Receiver<bool> {
        self.is_ended.clone()
    }

    /// Ready when no page follows.
    pub(super) async fn streams_ended(&self) {
        _ = self.streams.acquire_many(STREAMS_MAX).await;
    }

    /// The handlers, each with its build, and why a newer one does not work.
    pub(super) fn handlers(&self) -> Vec<Value> {
        let mounts = self.subject.exchanges.mounts().iter();
        let handler = |(mount, live): &(Mount, Live)| {
            let Build { name, number } = live.build();
            let broken = live.failure().map(|line| escape(line.as_bytes()));
            json!({ "mount": mount.to_string(), "title": escape(name.as_bytes()), "build": number, "broken": broken })
        };
        mounts.map(handler).collect()
    }

    /// The files: where they are, how many exchanges were not written, and why none are, if so.
    pub(super) fn files(&self) -> Value {
        let Some(archive) = &self.subject.archive else { return Value::Null };
        let status = archive.status();
        json!({ "dir": archive.dir().display().to_string(), "lost": status.lost, "problem": status.problem })
    }

    /// What is running, oldest first.
    pub(super) fn running(&self) -> Vec<Value> {
        self.subject.exchanges.admission().glance().iter().take(RUNNING_MAX).map(running).collect()
    }

    /// The exchange that a part of a path names.
    ///
    /// # Errors
    ///
    /// It is not there, or not any more.
    pub(super) fn record(&self, seq: &str) -> Result<Arc<Record>, Refusal> {
        let record = seq.parse().ok().and_then(|seq| self.subject.store.get(seq));
        record.ok_or_else(|| {
            Refusal::not_found(format!(
                "there is no exchange {seq}; the oldest are removed when --ui-memory is used up"
            ))
        })
    }

    /// The request bin.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn bin(&self) -> Result<&Bin, Refusal> {
        self.subject
            .bin
            .as_deref()
            .ok_or_else(|| Refusal::not_found("there is no request bin; start `wasmserve --ui` without a handler"))
    }
}

fn running(snapshot: &Snapshot) -> Value {
    let Snapshot { id, head, peer, began, cpu, memory, .. } = snapshot;
    json!({
        "id": id,
        "method": escape(head.method()),
        "target": escape(head.target()),
        "remote": peer.remote.to_string(),
        "took": micros(began.elapsed()),
        "cpu": micros(*cpu),
        "memory": memory,
        "wait": wait(snapshot),
    })
}

/// What a handler waits for, and since when.
pub(super) fn wait(snapshot: &Snapshot) -> Option<String> {
    let wait = snapshot.wait?;
    Some(format!("{} for {:.1} s", wait.import, wait.since.elapsed().as_secs_f32()))
}
