//! Accepts connections until it is told to stop, then lets the running exchanges end.

mod accept;
mod descriptors;
pub(crate) mod socket;
mod workers;

use std::{future::Future, io, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use wasmserve_gateway::mounts::Mounts;

pub(crate) use self::descriptors::make_room;
use self::{accept::Door, workers::Workers};
use crate::{
    base::{
        limits::{ConcurrencyLimits, Limits},
        options::GatewayOptions,
    },
    event::{Events, Listener},
    exchange::Exchanges,
    handler::Handler,
    source::live::Live,
    transport,
};

/// A server of one handler, for programs that embed it.
pub struct Server(Arc<Exchanges>);

impl Server {
    /// A server of this handler, whose events go to these listeners.
    #[must_use]
    pub fn new(
        handler: Box<dyn Handler>,
        limits: Limits,
        concurrency: ConcurrencyLimits,
        gateway: GatewayOptions,
        listeners: Vec<Arc<dyn Listener>>,
    ) -> Self {
        let mounts = Arc::new(Mounts::root(Live::new(handler)));
        Self(Arc::new(Exchanges::new(mounts, limits, concurrency, gateway, Arc::new(Events::new(listeners)))))
    }

    /// How many handlers run at the moment.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.running()
    }

    /// Serves connections from `listener` until `shutdown` is ready, at most `connections` at a time, or as many as there are
    /// descriptors for. Then the exchanges in progress may end, until the future is ready that `shutdown` gives.
    ///
    /// # Errors
    ///
    /// The system refuses threads for connections. Nothing has been accepted then.
    pub async fn run<Cut: Future<Output = ()>>(
        &self,
        listener: TcpListener,
        connections: Option<usize>,
        shutdown: impl Future<Output = Cut>,
    ) -> io::Result<()> {
        run(listener, Arc::clone(&self.0), connections, shutdown).await
    }
}

/// Serves connections from `listener` until `shutdown` is ready, at most `connections` at a time, or as many as there are
/// descriptors for. Then no more are accepted, idle ones are closed, and the running exchanges may end, as well as handlers
/// that go on after their answer; until the future is ready that `shutdown` gives: what still runs then is cut.
///
/// Connections are served on threads of their own, one a core; the caller's thread only accepts.
///
/// # Errors
///
/// The system refuses these threads. Nothing has been accepted then.
pub(crate) async fn run<Cut: Future<Output = ()>>(
    listener: TcpListener,
    exchanges: Arc<Exchanges>,
    connections: Option<usize>,
    shutdown: impl Future<Output = Cut>,
) -> io::Result<()> {
    let workers = Workers::spawn()?;
    let (draining, is_draining) = watch::channel(false);
    let connections_max = connections.unwrap_or_else(descriptors::connections_max);
    let mut door = Door::new(listener, connections_max, Arc::clone(exchanges.events()));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let cut = loop {
        let (stream, peer, permit) = tokio::select! {
            cut = &mut shutdown => break cut,
            Some(_) = connections.join_next() => continue,
            accepted = door.next() => accepted,
        };
        // It leaves this thread's view of sockets, and enters another's.
        let Ok(stream) = stream.into_std() else { continue };
        let (exchanges, drain) = (Arc::clone(&exchanges), is_draining.clone());
        workers.serve(&mut connections, |seat| async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                transport::serve(stream, peer, exchanges, drain).await;
            }
            drop((permit, seat));
        });
    };
    drop(door);

    exchanges.drain();
    draining.send_replace(true);
    let ended = async {
        while connections.join_next().await.is_some() {}
        exchanges.idle().await;
    };
    let is_cut = tokio::select! {
        () = ended => false,
        () = cut => true,
    };
    if is_cut {
        exchanges.stop();
        connections.shutdown().await;
    }
    Ok(())
}
