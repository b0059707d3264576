//! Accepts connections until it is told to stop, then lets the running exchanges end.

mod accept;
mod descriptors;
mod worker;

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

pub use self::descriptors::raise_limit;
use self::{accept::Door, worker::Workers};
use crate::{connection, exchange::Exchanges};

/// Serves connections from `listener` until `shutdown` is ready, at most `connections` at a time, or as many as there are
/// descriptors for. Then no more are accepted, idle ones are closed, and the running exchanges have `drain` to end; what
/// still runs after that is cut.
///
/// Connections are served on threads of their own, one a core; the caller's thread only accepts.
///
/// # Errors
///
/// The system refuses these threads. Nothing has been accepted then.
pub async fn run(
    listener: TcpListener,
    exchanges: Arc<Exchanges>,
    connections: Option<usize>,
    drain: Duration,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let workers = Workers::spawn()?;
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
        // It leaves this thread's view of sockets, and enters another's.
        let Ok(stream) = stream.into_std() else { continue };
        let (exchanges, drain) = (Arc::clone(&exchanges), is_draining.clone());
        workers.serve(&mut connections, async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                connection::serve(stream, peer, exchanges, drain).await;
            }
            drop(permit);
        });
    }
    drop(door);

    draining.send_replace(true);
    if timeout(drain, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        exchanges.stop();
        connections.shutdown().await;
    }
    Ok(())
}
