//! The counters and gauges of the server in the Prometheus text format.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::event::{Events, counters::Tally};

/// Reads the counters and gauges on request.
pub(crate) struct Metrics {
    registry: Registry,
}

/// A value that goes up and down.
pub(crate) struct Gauge {
    /// The name, without the common prefix.
    pub name: &'static str,
    /// The description shown to users.
    pub help: &'static str,
    /// Reads the current value.
    pub read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Metrics {
    /// The counters of these events, and these gauges.
    #[must_use]
    pub(crate) fn new(events: Arc<Events>, gauges: Vec<Gauge>) -> Self {
        let mut registry = Registry::with_prefix("wasmserve");
        registry.register_collector(Box::new(Source { events, gauges }));
        Self { registry }
    }

    /// The current values as text.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        _ = encode(&mut text, &self.registry);
        text
    }
}

/// Where the values come from.
struct Source {
    events: Arc<Events>,
    gauges: Vec<Gauge>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Tally { accepted, answered, aborted, shed } = self.events.counters().tally();
        for (name, help, count) in [
            ("requests_accepted", "Requests whose heads have arrived", accepted),
            ("requests_answered", "Requests answered, including with an error", answered),
            ("requests_aborted", "Requests whose clients did not get a complete response", aborted),
            ("requests_shed", "Requests refused because too many were in progress", shed),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let faults = self.events.counters().faults();
        if !faults.is_empty() {
            let one = ConstCounter::new(0_u64);
            let mut family = encoder.encode_descriptor("faults", "Faults by kind", None, one.metric_type())?;
            for (kind, count) in faults {
                ConstCounter::new(count).encode(family.encode_family(&[("kind", kind)])?)?;
            }
        }
        for Gauge { name, help, read } in &self.gauges {
            let gauge = ConstGauge::new(i64::try_from(read()).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
