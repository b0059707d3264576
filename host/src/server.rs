//! The server: accepts connections until shutdown, then drains them.

mod accept;
mod descriptors;
pub(crate) mod guest;
pub(crate) mod network;
mod owner;
pub(crate) mod socket;
mod workers;

use std::{future::Future, io, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};
use wasmserve_gateway::mounts::Mounts;

pub(crate) use self::descriptors::make_room;
use self::{accept::Acceptor, guest::Guest, workers::Workers};
use crate::{
    base::{
        limits::{ConcurrencyLimits, Limits},
        options::GatewayOptions,
    },
    capture::{record::Origin, store::Store},
    event::{Events, Listener},
    exchange::Exchanges,
    handler::Handler,
    listen::recorder::Recorder,
    source::live::Live,
    transport,
};

/// A server for one handler, for programs that embed wasmserve.
pub struct Server(Arc<Exchanges>);

impl Server {
    /// Creates a server for this handler. All events go to `listeners`.
    #[must_use]
    pub fn new(
        handler: Box<dyn Handler>,
        limits: Limits,
        concurrency: ConcurrencyLimits,
        gateway: GatewayOptions,
        listeners: Vec<Arc<dyn Listener>>,
    ) -> Self {
        Self::with(handler, limits, concurrency, gateway, Events::new(listeners), None)
    }

    /// Creates a server whose exchanges are captured in `store`.
    #[must_use]
    pub fn captured(
        store: &Arc<Store>,
        handler: Box<dyn Handler>,
        limits: Limits,
        concurrency: ConcurrencyLimits,
        gateway: GatewayOptions,
        mut listeners: Vec<Arc<dyn Listener>>,
    ) -> Self {
        listeners.push(Arc::new(Recorder));
        Self::with(handler, limits, concurrency, gateway, Events::new(listeners), Some(Arc::clone(store)))
    }

    fn with(
        handler: Box<dyn Handler>,
        limits: Limits,
        concurrency: ConcurrencyLimits,
        gateway: GatewayOptions,
        events: Events,
        store: Option<Arc<Store>>,
    ) -> Self {
        let mounts = Arc::new(Mounts::root(Live::new(handler, "handler".to_owned())));
        Self(Arc::new(Exchanges::new(mounts, limits, concurrency, gateway, Arc::new(events)).captured(store)))
    }

    /// How many handlers are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.running()
    }

    /// Serves connections from `listener` until `shutdown` completes, at most `connections` at a time; if `None`, the
    /// number of available file descriptors decides. Exchanges in progress may then continue until the future that
    /// `shutdown` returns completes.
    ///
    /// # Errors
    ///
    /// The system cannot create the threads for connections. No connection has been accepted then.
    pub async fn run<Cut: Future<Output = ()>>(
        &self,
        listener: TcpListener,
        connections: Option<usize>,
        shutdown: impl Future<Output = Cut>,
    ) -> io::Result<()> {
        let (_, guests) = mpsc::channel(1);
        run(vec![listener], guests, Arc::clone(&self.0), connections, shutdown).await
    }
}

/// Serves connections from all `listeners` until `shutdown` completes, at most `connections` at a time; if `None`, the
/// number of available file descriptors decides. `guests` are served like connections, whatever their number. There may be
/// no listener.
///
/// Then it accepts no more connections, closes idle ones, and waits for exchanges in progress and for handlers that
/// continue after their response. When the future that `shutdown` returns completes, it cuts whatever is still running.
///
/// Connections are served on one thread per core; the caller's thread only accepts them.
///
/// # Errors
///
/// The system cannot create these threads. No connection has been accepted then.
pub(crate) async fn run<Cut: Future<Output = ()>>(
    listeners: Vec<TcpListener>,
    mut guests: mpsc::Receiver<Guest>,
    exchanges: Arc<Exchanges>,
    connections: Option<usize>,
    shutdown: impl Future<Output = Cut>,
) -> io::Result<()> {
    let workers = Workers::spawn()?;
    let (draining, is_draining) = watch::channel(false);
    let connections_max = connections.unwrap_or_else(descriptors::connections_max);
    let mut acceptor = Acceptor::new(listeners, connections_max, Arc::clone(exchanges.events()));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let cut = loop {
        let (stream, peer, origin, held) = tokio::select! {
            cut = &mut shutdown => break cut,
            Some(_) = connections.join_next() => continue,
            (stream, peer, permit) = acceptor.next() => {
                // Deregisters the socket from this thread's runtime; the worker registers it with its own.
                let Ok(stream) = stream.into_std() else { continue };
                (stream, peer, Origin::Client, (Some(permit), None))
            }
            Some(Guest { stream, peer, origin, until_served }) = guests.recv() => {
                (stream, peer, origin, (None, Some(until_served)))
            }
        };
        let (exchanges, drain) = (Arc::clone(&exchanges), is_draining.clone());
        workers.serve(&mut connections, |guard| async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                transport::serve(stream, peer, origin, exchanges, drain).await;
            }
            drop((held, guard));
        });
    };
    drop((acceptor, guests));

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
