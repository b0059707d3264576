//! Accepts connections until it is told to stop, then lets the running exchanges end.

mod accept;
mod descriptors;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

use self::accept::Door;
pub use self::descriptors::raise_limit;
use crate::{connection, exchange::Exchanges};

/// Serves connections from `listener` until `shutdown` is ready, at most `connections` at a time, or as many as there are
/// descriptors for. Then no more are accepted, idle ones are closed, and the running exchanges have `drain` to end; what
/// still runs after that is cut.
pub async fn run(
    listener: TcpListener,
    exchanges: Arc<Exchanges>,
    connections: Option<usize>,
    drain: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let (draining, is_draining) = watch::channel(false);
    let connections_max = connections.unwrap_or_else(descriptors::connections_max);
    let mut door = Door::new(listener, connections_max, Arc::clone(exchanges.record()));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, peer, permit) = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = door.next() => accepted,
        };
        let serving = connection::serve(stream, peer, Arc::clone(&exchanges), is_draining.clone());
        connections.spawn(async move {
            serving.await;
            drop(permit);
        });
    }
    drop(door);

    draining.send_replace(true);
    if timeout(drain, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        exchanges.stop();
        connections.shutdown().await;
    }
}
