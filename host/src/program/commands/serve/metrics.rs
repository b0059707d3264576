//! Serves the statistics of `--stats`.

use std::sync::Arc;

use tokio::net::TcpListener;

use crate::{
    event::notice::Level,
    exchange::Exchanges,
    kind::wasm::{cores::Pool, engine::Engine},
    listen::metrics::{Gauge, Metrics},
    transport,
};

/// Serves the metrics. Must be called within the runtime.
pub(super) fn serve(
    listener: std::net::TcpListener,
    exchanges: &Arc<Exchanges>,
    engine: &Arc<Engine>,
) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let events = exchanges.events();
    events.notice(Level::Status, format!("statistics on http://{}/metrics", listener.local_addr()?));
    let metrics = Metrics::new(Arc::clone(events), gauges(exchanges, engine));
    tokio::spawn(transport::admin::serve_metrics(listener, Arc::new(metrics)));
    Ok(())
}

fn gauges(exchanges: &Arc<Exchanges>, engine: &Arc<Engine>) -> Vec<Gauge> {
    let of_pool = |name, help, read: fn(Pool) -> u64| {
        let engine = Arc::clone(engine);
        Gauge { name, help, read: Box::new(move || read(engine.pool())) }
    };
    let exchanges = Arc::clone(exchanges);
    let running = Box::new(move || exchanges.running() as u64);
    vec![
        Gauge { name: "instances_live", help: "Handlers that are running", read: running },
        of_pool("pool_instances", "Component instances of the pool in use", |pool| pool.instances),
        of_pool("pool_memories", "Memories of the pool in use", |pool| pool.memories),
        of_pool("pool_tables", "Tables of the pool in use", |pool| pool.tables),
        of_pool("pool_stacks", "Stacks of the pool in use", |pool| pool.stacks),
    ]
}
