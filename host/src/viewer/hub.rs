//! The state that all pages of the viewer share: what they show, and what they change.

use std::{collections::BTreeMap, sync::Arc};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use wasmserve_gateway::{escape::escape, mounts::Mount};

use super::door::Refusal;
use crate::{
    admission::Admission,
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
    /// What exports do not contain.
    pub redaction: Redaction,
    /// Where the exchanges come from.
    pub source: Source,
}

/// Where the exchanges come from that the viewer shows.
pub(crate) enum Source {
    /// A server, to which more may come, and which can be asked for more.
    Server(Box<Server>),
    /// Files, which are only read.
    Captures(Captures),
}

/// Files whose exchanges the viewer shows.
#[derive(Debug)]
pub(crate) struct Captures {
    /// The captures as the user names them.
    pub names: Vec<String>,
    /// Which of them an exchange is from, by its seq.
    pub of: BTreeMap<u64, usize>,
    /// What cannot be read of them, one line each.
    pub problems: Vec<String>,
}

/// A server whose exchanges the viewer shows.
pub(crate) struct Server {
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
}

/// Why there is no replay of what is in files.
const NO_HANDLER: &str = "no handler: use `wasmserve replay FILE HANDLER`";

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

    /// The server, if the exchanges come from one.
    pub(super) fn server(&self) -> Option<&Server> {
        match &self.subject.source {
            Source::Server(server) => Some(server),
            Source::Captures(_) => None,
        }
    }

    /// The server, which has to do something. `instead` is what the user can do if there is none.
    ///
    /// # Errors
    ///
    /// The exchanges come from files.
    pub(super) fn asked(&self, instead: &str) -> Result<&Server, Refusal> {
        self.server().ok_or_else(|| Refusal::new(StatusCode::CONFLICT, instead))
    }

    /// The server's replayer.
    ///
    /// # Errors
    ///
    /// The exchanges come from files.
    pub(super) fn replayer(&self) -> Result<&Replayer, Refusal> {
        self.asked(NO_HANDLER).map(|server| &server.replayer)
    }

    /// Why nothing can be replayed, if that is so.
    pub(super) fn why_no_replay(&self) -> Option<&str> {
        self.server().map_or(Some(NO_HANDLER), |server| server.replayer.why_not())
    }

    /// Why nothing is replayed when a handler is replaced, if that is so.
    pub(super) fn why_not_on_save(&self) -> Option<&str> {
        self.server().map_or(Some(NO_HANDLER), |server| server.saved.why_not.as_deref())
    }

    /// The files that the exchanges come from, if they do.
    pub(super) fn captures(&self) -> Value {
        let Source::Captures(Captures { names, problems, .. }) = &self.subject.source else { return Value::Null };
        let escaped = |texts: &[String]| texts.iter().map(|text| escape(text.as_bytes())).collect::<Vec<_>>();
        json!({ "names": escaped(names), "problems": escaped(problems) })
    }

    /// The capture that an exchange is from, if there are several.
    pub(super) fn capture(&self, seq: u64) -> Option<String> {
        match &self.subject.source {
            Source::Captures(Captures { names, of, .. }) if names.len() > 1 => {
                names.get(*of.get(&seq)?).map(|name| escape(name.as_bytes()))
            }
            Source::Captures(_) | Source::Server(_) => None,
        }
    }

    /// The handlers, each with its build, and why a newer one does not work.
    pub(super) fn handlers(&self) -> Vec<Value> {
        let mounts = self.server().into_iter().flat_map(|server| server.exchanges.mounts().iter());
        let handler = |(mount, live): &(Mount, Live)| {
            let Build { name, number } = live.build();
            let broken = live.failure().map(|line| escape(line.as_bytes()));
            json!({ "mount": mount.to_string(), "title": escape(name.as_bytes()), "build": number, "broken": broken })
        };
        mounts.map(handler).collect()
    }

    /// The files that exchanges are written to, if they are.
    pub(super) fn archive(&self) -> Option<&Archive> {
        self.server()?.archive.as_deref()
    }

    /// These files: where they are, how many exchanges were not written, and why none are, if so.
    pub(super) fn files(&self) -> Value {
        let Some(archive) = self.archive() else { return Value::Null };
        let status = archive.status();
        json!({ "dir": archive.dir().display().to_string(), "lost": status.lost, "problem": status.problem })
    }

    /// What is running, oldest first.
    pub(super) fn running(&self) -> Vec<Value> {
        let running_now = self.admission().map(Admission::glance).unwrap_or_default();
        running_now.iter().take(RUNNING_MAX).map(running).collect()
    }

    /// What decides which handlers run, if there are any.
    pub(super) fn admission(&self) -> Option<&Admission> {
        Some(self.server()?.exchanges.admission())
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
        self.server()
            .and_then(|server| server.bin.as_deref())
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
