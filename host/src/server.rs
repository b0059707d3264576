//! Accepts connections until it is told to stop, then lets the running exchanges end.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{connection, exchange::Exchanges, gateway::environ::Peer};

/// How many connections are open at the same time. More wait in the system's queue.
const CONNECTIONS_MAX: usize = 1024;

/// Serves connections from `listener` until `shutdown` is ready. Then no more are accepted, idle ones are closed, and the
/// running exchanges have `drain` to end; what still runs after that is cut.
pub async fn run(
    listener: TcpListener,
    exchanges: Arc<Exchanges>,
    drain: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let (draining, is_draining) = watch::channel(false);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (stream, peer, permit) = accepted;
        let serving = connection::serve(stream, peer, Arc::clone(&exchanges), is_draining.clone());
        connections.spawn(async move {
            serving.await;
            drop(permit);
        });
    }
    drop(listener);

    draining.send_replace(true);
    if timeout(drain, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        exchanges.stop();
        connections.shutdown().await;
    }
}

/// The next connection, and the permit to have it open. No failure to accept one is a reason to stop.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, Peer, impl Drop + Send + use<>) {
    let permit = Arc::clone(permits).acquire_owned().await.unwrap_or_else(|_| unreachable!("never closed"));
    loop {
        match listener.accept().await.and_then(|(stream, remote)| prepare(stream, remote)) {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) if is_of_one_connection(&error) => {}
            // No descriptors or no memory: wait until a connection has given some back.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

fn prepare(stream: TcpStream, remote: std::net::SocketAddr) -> io::Result<(TcpStream, Peer)> {
    let local = stream.local_addr()?;
    // A handler's chunk is on its way when it was written, not when the client has acknowledged the one before.
    stream.set_nodelay(true)?;
    Ok((stream, Peer { remote, local }))
}

/// Whether only the client that was about to connect is concerned.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected)
}
