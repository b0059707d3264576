//! Replays the exchanges that are kept whenever a handler was replaced, and reports which responses differ.

use std::{collections::BTreeSet, io, sync::Arc, thread};

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::{
    runtime,
    sync::{mpsc, watch},
};
use wasmserve_gateway::escape::escape;

use super::replayer::{Pace, Replayer, Verified};
use crate::{
    capture::{record::Record, store::Store},
    event::{Events, notice::Level},
};

/// How many exchanges are replayed after a save: those that were kept last.
const EXCHANGES_MAX: usize = 20;

/// How many of them at the same time.
const CONCURRENCY: usize = 4;

/// How many that differ are named in the notice.
const NAMED_MAX: usize = 5;

/// What became of the exchanges that are kept when a handler was replaced.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SavedRun {
    /// Counted from 1 since the server started.
    pub number: u64,
    /// Each exchange that was replayed, oldest first.
    pub results: Vec<SavedResult>,
    /// How many have the same response as before.
    pub alike: usize,
    /// How many have another one.
    pub differ: usize,
    /// How many could not be replayed.
    pub failed: usize,
    /// How many were not replayed because there are too many.
    pub left_out: usize,
}

/// What became of one exchange that is kept.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SavedResult {
    /// The seq of the exchange that is kept.
    pub seq: u64,
    /// Its id, as in the log.
    pub id: u64,
    /// Its method, escaped.
    pub method: String,
    /// Its target, escaped.
    pub target: String,
    /// Whether the response is the same.
    pub verdict: Verdict,
    /// The seq of the replay, if there was one.
    pub replay: Option<u64>,
    /// What differs, or why it was not replayed, in a few words.
    pub text: String,
}

/// The result of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The response is the same, but for what differs between any two runs.
    Alike,
    /// The response is another one.
    Differs,
    /// There was no replay.
    Failed,
}

/// The replays after saves.
pub(crate) struct Saved {
    /// Why there are none, if that is so.
    pub why_not: Option<String>,
    /// The last one.
    pub latest: watch::Receiver<Option<Arc<SavedRun>>>,
}

/// Replays on a thread of its own the exchanges of `store` that are kept, whenever the mount of a replaced handler comes
/// from `replaced`. `why_not` is the reason if they must not be replayed.
///
/// # Errors
///
/// The system cannot create another thread.
pub(crate) fn spawn(
    replayer: Replayer,
    store: Arc<Store>,
    events: Arc<Events>,
    why_not: Option<String>,
    replaced: mpsc::UnboundedReceiver<String>,
) -> io::Result<Saved> {
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let (latest, saved) = watch::channel(None);
    let why_not = why_not.or_else(|| replayer.why_not().map(str::to_owned));
    let mut thread = Replays { replayer, store, events, why_not: why_not.clone(), number: 0, latest };
    thread::Builder::new().name("replay".into()).spawn(move || runtime.block_on(thread.run(replaced)))?;
    Ok(Saved { why_not, latest: saved })
}

struct Replays {
    replayer: Replayer,
    store: Arc<Store>,
    events: Arc<Events>,
    /// Taken when it has been reported.
    why_not: Option<String>,
    number: u64,
    latest: watch::Sender<Option<Arc<SavedRun>>>,
}

impl Replays {
    async fn run(&mut self, mut replaced: mpsc::UnboundedReceiver<String>) {
        if self.replayer.why_not().is_some() || self.why_not.is_some() {
            return self.explain(replaced).await;
        }
        let mut mounts = BTreeSet::new();
        while let Some(mount) = replaced.recv().await {
            mounts.insert(mount);
            // A next save supersedes a run that has not ended.
            let results = loop {
                while let Ok(mount) = replaced.try_recv() {
                    mounts.insert(mount);
                }
                tokio::select! {
                    biased;
                    mount = replaced.recv() => match mount {
                        Some(mount) => _ = mounts.insert(mount),
                        None => return,
                    },
                    results = self.replay(&mounts) => break results,
                }
            };
            mounts.clear();
            if let Some(run) = results {
                self.number = run.number;
                self.events.notice(Level::Info, run.line());
                self.latest.send_replace(Some(Arc::new(run)));
            }
        }
    }

    /// Says once why nothing is replayed, when something would be.
    async fn explain(&mut self, mut replaced: mpsc::UnboundedReceiver<String>) {
        while replaced.recv().await.is_some() {
            if !self.store.kept().is_empty()
                && let Some(why) = self.why_not.take()
            {
                self.events.notice(Level::Info, format!("kept requests are not replayed on save: {why}"));
            }
        }
    }

    /// Replays the exchanges with handlers at these mounts, if there are any.
    async fn replay(&self, mounts: &BTreeSet<String>) -> Option<SavedRun> {
        let mut kept = self.store.kept();
        kept.retain(|record| record.facts.as_ref().is_some_and(|facts| mounts.contains(&facts.mount)));
        if kept.is_empty() {
            return None;
        }
        let left_out = kept.len().saturating_sub(EXCHANGES_MAX);
        let replays = stream::iter(kept.drain(left_out..)).map(|record| self.replay_one(record));
        let results: Vec<SavedResult> = replays.buffered(CONCURRENCY).collect().await;
        let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
        let (alike, differ, failed) = (count(Verdict::Alike), count(Verdict::Differs), count(Verdict::Failed));
        Some(SavedRun { number: self.number + 1, results, alike, differ, failed, left_out })
    }

    async fn replay_one(&self, record: Arc<Record>) -> SavedResult {
        let (verdict, replay, text) = match self.replayer.verify(&record, Pace::Fast, &[]).await {
            Ok(Verified { record, comparison }) if comparison.is_same => {
                (Verdict::Alike, Some(record.seq), String::new())
            }
            Ok(Verified { record, comparison }) => (Verdict::Differs, Some(record.seq), comparison.summary()),
            Err(refusal) => (Verdict::Failed, None, refusal.text),
        };
        let head = record.request_head();
        let (method, target) = (escape(head.method()), escape(head.target()));
        SavedResult { seq: record.seq, id: record.id, method, target, verdict, replay, text }
    }
}

impl SavedRun {
    /// The run in one line.
    fn line(&self) -> String {
        let (number, unit) = match self.results.len() {
            1 => ("1".to_owned(), "request"),
            number => (number.to_string(), "requests"),
        };
        let mut parts = vec![format!("{} alike", self.alike)];
        let others: Vec<_> = self.results.iter().filter(|result| result.verdict != Verdict::Alike).collect();
        parts.extend(others.iter().take(NAMED_MAX).map(|result| {
            let what = if result.verdict == Verdict::Differs { "differs" } else { "not replayed" };
            format!("[{}] {what}: {}", result.id, result.text)
        }));
        if others.len() > NAMED_MAX {
            parts.push(format!("{} more not alike", others.len() - NAMED_MAX));
        }
        if self.left_out > 0 {
            parts.push(format!("{} older ones left out", self.left_out));
        }
        format!("{number} kept {unit} again: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_reported_in_one_line() {
        let result = |id, verdict, text: &str| SavedResult {
            seq: id,
            id,
            method: "GET".into(),
            target: "/".into(),
            verdict,
            replay: None,
            text: text.into(),
        };
        let results = vec![
            result(3, Verdict::Alike, ""),
            result(17, Verdict::Differs, "200 -> 500 (trap)"),
            result(18, Verdict::Failed, "its client sent nothing"),
        ];
        let run = SavedRun { number: 1, results, alike: 1, differ: 1, failed: 1, left_out: 0 };
        assert_eq!(
            run.line(),
            "3 kept requests again: 1 alike, [17] differs: 200 -> 500 (trap), [18] not replayed: its client sent nothing"
        );
        let many = (1..=7).map(|id| result(id, Verdict::Differs, "body")).collect();
        let run = SavedRun { number: 1, results: many, alike: 0, differ: 7, failed: 0, left_out: 2 };
        assert!(run.line().ends_with("[5] differs: body, 2 more not alike, 2 older ones left out"), "{}", run.line());
    }
}
