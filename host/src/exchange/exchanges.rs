//! The state that all exchanges share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::Notify;
use wasmserve_gateway::mounts::Mounts;

use crate::{
    admission::Admission,
    base::{
        limits::{ConcurrencyLimits, Limits},
        options::GatewayOptions,
    },
    capture::store::Store,
    event::{Event, Events, counters::Tally},
    source::live::Live,
};

/// The state that all exchanges share.
pub(crate) struct Exchanges {
    pub(super) mounts: Arc<Mounts<Live>>,
    pub(super) limits: Limits,
    pub(super) gateway: Arc<GatewayOptions>,
    keep_alive: Option<HeaderValue>,
    pub(super) admission: Arc<Admission>,
    pub(super) events: Arc<Events>,
    capture: Option<Arc<Store>>,
    begun: AtomicU64,
    /// The id of the last exchange that may reach a handler.
    last: u64,
    /// Notified when that exchange has begun.
    all_begun: Notify,
    is_stopped: AtomicBool,
}

impl Exchanges {
    /// Creates the state for these handlers and limits.
    #[must_use]
    pub(crate) fn new(
        mounts: Arc<Mounts<Live>>,
        limits: Limits,
        concurrency: ConcurrencyLimits,
        gateway: GatewayOptions,
        events: Arc<Events>,
    ) -> Self {
        Self {
            mounts,
            keep_alive: keep_alive(limits.keep_alive),
            limits,
            gateway: Arc::new(gateway),
            admission: Arc::new(Admission::new(concurrency)),
            events,
            capture: None,
            begun: AtomicU64::new(0),
            last: u64::MAX,
            all_begun: Notify::new(),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Limits the number of exchanges. Later ones get a response that the server is stopping, and the last one closes
    /// its connection.
    #[must_use]
    pub(crate) fn at_most(self, number: u64) -> Self {
        Self { last: number, ..self }
    }

    /// Captures exchanges in this store.
    #[must_use]
    pub(crate) fn captured(self, capture: Option<Arc<Store>>) -> Self {
        Self { capture, ..self }
    }

    /// Where exchanges are captured, if they are.
    #[must_use]
    pub(crate) fn capture(&self) -> Option<&Arc<Store>> {
        self.capture.as_ref()
    }

    /// The handlers, each with its mount.
    #[must_use]
    pub(crate) fn mounts(&self) -> &Mounts<Live> {
        &self.mounts
    }

    /// Ready once the allowed number of exchanges has begun. Wakes one waiter only.
    pub(crate) async fn all_begun(&self) {
        self.all_begun.notified().await;
    }

    /// Receives the events of all exchanges.
    #[must_use]
    pub(crate) fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// The value of `Keep-Alive` in responses after which an HTTP/1 connection is kept; `None` if it is not said (rule
    /// K13).
    #[must_use]
    pub(crate) fn keep_alive(&self) -> Option<&HeaderValue> {
        self.keep_alive.as_ref()
    }

    /// What one exchange may use.
    #[must_use]
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How the gateway treats requests and responses.
    #[must_use]
    pub(crate) fn gateway(&self) -> &GatewayOptions {
        &self.gateway
    }

    /// The number of requests so far.
    #[must_use]
    pub(crate) fn tally(&self) -> Tally {
        self.events.counters().tally()
    }

    /// How many exchanges have begun but not ended.
    #[must_use]
    pub(crate) fn in_progress(&self) -> u64 {
        let Tally { accepted, answered, aborted, shed } = self.tally();
        accepted.saturating_sub(answered + aborted + shed)
    }

    /// How many handlers are running.
    #[must_use]
    pub(crate) fn running(&self) -> usize {
        self.admission.running()
    }

    /// Ready when no handler is running. Some run on after their clients have got the whole response.
    pub(crate) async fn idle(&self) {
        self.admission.idle().await;
    }

    /// Decides which handlers run, and knows them.
    #[must_use]
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Emits a report of the running handlers, with the stacks that they provide in time.
    pub(crate) async fn report_running(&self) {
        let handlers = self.admission.snapshots().await;
        self.events.emit(&Event::Running { handlers: &handlers, tally: self.tally() });
    }

    /// Marks the server as stopped: exchanges that end early from now on count as stopped.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Wakes the pages that wait for news, so that their requests end.
    pub(crate) fn drain(&self) {
        for (_, live) in self.mounts.iter() {
            live.wake();
            live.handler().drain();
        }
    }

    /// Assigns the id of a new exchange.
    pub(super) fn next_id(&self) -> u64 {
        let id = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        if self.is_last(id) {
            self.all_begun.notify_one();
        }
        id
    }

    /// Whether no later exchange may reach a handler.
    pub(super) fn is_last(&self, id: u64) -> bool {
        id >= self.last
    }

    /// Whether this exchange exceeds the allowed number.
    pub(super) fn is_beyond_last(&self, id: u64) -> bool {
        id > self.last
    }
}

/// The field that says for how long a connection is kept, in whole seconds; `None` if it is kept for less than one, or without a
/// limit.
fn keep_alive(time: Duration) -> Option<HeaderValue> {
    let seconds = Some(time.as_secs()).filter(|seconds| *seconds > 0 && time < Limits::UNLIMITED)?;
    HeaderValue::from_maybe_shared(Bytes::from(format!("timeout={seconds}"))).ok()
}
