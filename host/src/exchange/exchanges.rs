//! What all exchanges have in common.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::Notify;
use wasmserve_gateway::mounts::Mounts;

use crate::{
    admission::Admission,
    base::{
        limits::{ConcurrencyLimits, Limits},
        options::GatewayOptions,
    },
    event::{Event, Events, counters::Tally},
    source::live::Live,
};

/// What all exchanges have in common.
pub(crate) struct Exchanges {
    pub(super) mounts: Arc<Mounts<Live>>,
    pub(super) limits: Limits,
    pub(super) gateway: Arc<GatewayOptions>,
    pub(super) admission: Arc<Admission>,
    pub(super) events: Arc<Events>,
    begun: AtomicU64,
    /// The id of the last one that may reach a handler.
    last: u64,
    /// Notified when that has begun.
    all_begun: Notify,
    is_stopped: AtomicBool,
}

impl Exchanges {
    /// Exchanges with these handlers within these limits, which emit `events`.
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
            limits,
            gateway: Arc::new(gateway),
            admission: Arc::new(Admission::new(concurrency)),
            events,
            begun: AtomicU64::new(0),
            last: u64::MAX,
            all_begun: Notify::new(),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// The same, but at most `number` of them: all that come later are answered that the server is stopping, and the last one
    /// ends its connection.
    #[must_use]
    pub(crate) fn at_most(self, number: u64) -> Self {
        Self { last: number, ..self }
    }

    /// Ready when as many have begun as there may be, once.
    pub(crate) async fn all_begun(&self) {
        self.all_begun.notified().await;
    }

    /// Where events go.
    #[must_use]
    pub(crate) fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// What one exchange may use.
    #[must_use]
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the gateway does with requests and responses.
    #[must_use]
    pub(crate) fn gateway(&self) -> &GatewayOptions {
        &self.gateway
    }

    /// What has become of all requests so far.
    #[must_use]
    pub(crate) fn tally(&self) -> Tally {
        self.events.counters().tally()
    }

    /// How many handlers run at the moment.
    #[must_use]
    pub(crate) fn running(&self) -> usize {
        self.admission.running()
    }

    /// Ready when no handler runs any more: some go on when their clients have all that they get.
    pub(crate) async fn idle(&self) {
        self.admission.idle().await;
    }

    /// Emits what runs: each handler with its stack, if it gives one within a moment.
    pub(crate) async fn report_running(&self) {
        let handlers = self.admission.snapshots().await;
        self.events.emit(&Event::Running { handlers: &handlers, tally: self.tally() });
    }

    /// From now on an exchange that ends early does so because the server does.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// From now on no page waits for a handler that is better than the one that is served.
    pub(crate) fn drain(&self) {
        self.mounts.iter().for_each(|(_, live)| live.wake());
    }

    /// The number of an exchange that begins now.
    pub(super) fn next_id(&self) -> u64 {
        let id = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        if self.is_last(id) {
            self.all_begun.notify_one();
        }
        id
    }

    /// Whether no exchange after this one reaches a handler.
    pub(super) fn is_last(&self, id: u64) -> bool {
        id >= self.last
    }

    /// Whether this exchange is one too many.
    pub(super) fn is_beyond_last(&self, id: u64) -> bool {
        id > self.last
    }
}
