//! What the server has done so far, in the text format of Prometheus.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::{exchange::Exchanges, handler::Engine, tally::Tally};

/// Reads the counters when it is asked.
pub struct Stats {
    registry: Registry,
}

impl Stats {
    /// The statistics of these exchanges, whose components run in this engine.
    #[must_use]
    pub fn new(exchanges: Arc<Exchanges>, engine: Arc<Engine>) -> Self {
        let mut registry = Registry::with_prefix("wasmserve");
        registry.register_collector(Box::new(Counters { exchanges, engine }));
        Self { registry }
    }

    /// All of them, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A string takes whatever is written to it.
        _ = encode(&mut text, &self.registry);
        text
    }
}

/// Where the figures are.
struct Counters {
    exchanges: Arc<Exchanges>,
    engine: Arc<Engine>,
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

impl Collector for Counters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Tally { accepted, answered, aborted, shed, running } = self.exchanges.tally();
        for (name, help, count) in [
            ("requests_accepted", "Requests whose head has arrived", accepted),
            ("requests_answered", "Requests that were answered", answered),
            ("requests_aborted", "Requests whose clients did not get a whole answer", aborted),
            ("requests_shed", "Requests that were refused because too many run", shed),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let faults = self.exchanges.faults();
        if !faults.is_empty() {
            let one = ConstCounter::new(0_u64);
            let mut family = encoder.encode_descriptor("faults", "Faults by their kind", None, one.metric_type())?;
            for (kind, count) in faults {
                ConstCounter::new(count).encode(family.encode_family(&[("kind", kind)])?)?;
            }
        }
        let pool = self.engine.pool();
        for (name, help, value) in [
            ("instances_live", "Handlers that run", running),
            ("pool_instances", "Component instances in the pool that are in use", pool.instances),
            ("pool_memories", "Memories in the pool that are in use", pool.memories),
            ("pool_tables", "Tables in the pool that are in use", pool.tables),
            ("pool_stacks", "Stacks in the pool that are in use", pool.stacks),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
