//! What happens while someone looks: a stream of server-sent events.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::Event;
use futures_util::stream::{self, Stream};
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast, watch},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};

use super::{
    hub::{Change, Hub},
    summary::Summary,
};
use crate::replay::saved::SavedRun;

/// How many exchanges there are in one event. When more have been completed since the last one, only the newest are reported.
const BATCH_MAX: usize = 200;

/// The shortest time between two events with exchanges.
const BATCH_INTERVAL: Duration = Duration::from_millis(100);

/// How often handlers are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How many of these looks there are to one at what is running.
const LOOKS_PER_RUNNING: u32 = 4;

/// What a page waits for.
enum News {
    /// The server ends.
    End,
    Change(Change),
    /// There are exchanges that the page does not know.
    Completed,
    /// It is time to look at handlers.
    Time,
}

/// One page that follows.
struct Follower {
    hub: Arc<Hub>,
    /// The newest exchange that the page knows.
    after: u64,
    newest: watch::Receiver<u64>,
    changes: broadcast::Receiver<Change>,
    is_ended: watch::Receiver<bool>,
    saved: Option<watch::Receiver<Option<Arc<SavedRun>>>>,
    batched: Instant,
    looks: Interval,
    looked: u32,
    /// What was last reported.
    handlers: Vec<serde_json::Value>,
    had_running: bool,
    lost: u64,
    pending: VecDeque<Event>,
    is_over: bool,
    /// Counts the stream, for as long as it lasts.
    _permit: OwnedSemaphorePermit,
}

/// The events for a page that knows all exchanges up to `after`; the newest one if `None`.
pub(super) fn events(
    hub: Arc<Hub>,
    after: Option<u64>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let newest = hub.subject.store.follow();
    let known = *newest.borrow();
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let follower = Follower {
        // An exchange that is not there yet is of a server that ran before.
        after: after.map_or(known, |after| if after > known { 0 } else { after }),
        newest,
        changes: hub.changes(),
        is_ended: hub.is_ended(),
        saved: hub.server().map(|server| server.saved.latest.clone()),
        batched: Instant::now() - BATCH_INTERVAL,
        looks,
        looked: 0,
        handlers: hub.handlers(),
        had_running: false,
        lost: lost(&hub),
        pending: VecDeque::new(),
        is_over: false,
        hub,
        _permit: permit,
    };
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

/// How many exchanges were not written to files because those are too slow.
fn lost(hub: &Hub) -> u64 {
    hub.archive().map_or(0, |archive| archive.status().lost)
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            // All of these can be dropped and asked again.
            let (newest, after, batched) = (&mut self.newest, self.after, self.batched);
            let completed = async {
                // It fails only if there is no store any more.
                while *newest.borrow_and_update() <= after && newest.changed().await.is_ok() {}
                sleep_until(batched + BATCH_INTERVAL).await;
            };
            let news = tokio::select! {
                _ = self.is_ended.wait_for(|is_ended| *is_ended) => News::End,
                // A page that is far behind misses some, and asks for everything when its user looks at it.
                Ok(change) = self.changes.recv() => News::Change(change),
                () = completed => News::Completed,
                _ = self.looks.tick() => News::Time,
            };
            match news {
                News::End => {
                    self.push("bye", &json!({}));
                    self.is_over = true;
                }
                News::Change(change) => self.report(&change),
                News::Completed => self.batch(),
                News::Time => self.look(),
            }
        }
    }

    fn push(&mut self, name: &str, data: &impl Serialize) {
        // It cannot fail: none of the data has keys that are not strings.
        if let Ok(event) = Event::default().event(name).json_data(data) {
            self.pending.push_back(event);
        }
    }

    fn report(&mut self, change: &Change) {
        match change {
            Change::Kept(record) => self.push("kept", &Summary::from(&**record)),
            Change::Paused(paused) => self.push("paused", &json!({ "paused": paused })),
            Change::Cleared => self.push("cleared", &json!({})),
        }
    }

    /// Reports which exchanges were completed.
    fn batch(&mut self) {
        let newest = *self.newest.borrow();
        let gap = newest.saturating_sub(self.after).saturating_sub(BATCH_MAX as u64);
        if gap > 0 {
            self.push("gap", &json!({ "n": gap }));
            self.after += gap;
        }
        let records = self.hub.subject.store.after(self.after, BATCH_MAX);
        self.after = records.last().map_or(newest, |record| record.seq.max(newest));
        if !records.is_empty() {
            let summaries: Vec<Summary<'_>> = records.iter().map(|record| Summary::from(&**record)).collect();
            self.push("exchanges", &summaries);
        }
        self.batched = Instant::now();
    }

    /// Reports which handlers are new, how replays ended, and what is running.
    fn look(&mut self) {
        let handlers = self.hub.handlers();
        for (at, handler) in handlers.iter().enumerate() {
            if self.handlers.get(at) != Some(handler) {
                self.push("handler", handler);
            }
        }
        self.handlers = handlers;
        let saved = self.saved.as_mut().filter(|saved| saved.has_changed().unwrap_or(false));
        if let Some(run) = saved.and_then(|saved| saved.borrow_and_update().clone()) {
            self.push("saved", &*run);
        }
        let lost = lost(&self.hub);
        if lost > self.lost {
            self.push("lost", &json!({ "n": lost - self.lost }));
            self.lost = lost;
        }
        if self.looked.is_multiple_of(LOOKS_PER_RUNNING) {
            let running = self.hub.running();
            let has_running = !running.is_empty();
            if has_running || self.had_running {
                self.push("running", &running);
            }
            self.had_running = has_running;
        }
        self.looked = self.looked.wrapping_add(1);
    }
}
