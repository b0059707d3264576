//! `wasmserve dump`: prints exactly what clients send.
//!
//! One thread prints what all connections receive. If its output is not read, connections wait: nothing is dropped, and
//! memory stays bounded. Each connection counts as an exchange, so that the lifecycle is that of every server.

mod connection;
mod conversation;
mod pretty;
mod print;
pub(crate) mod reply;

use std::{
    convert::Infallible,
    future, io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{
        Semaphore,
        mpsc::{Sender, channel},
    },
    task::JoinSet,
};
use wasmserve_gateway::{environ::Peer, mounts::Mounts};

use self::{
    connection::Printing,
    print::{Seen, print_all},
    reply::Reply,
};
use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        limits::{ConcurrencyLimits, Limits},
        options::GatewayOptions,
    },
    event::{Event, Events, Listener, notice::Level},
    exchange::{Exchanges, Unparsed},
    lifecycle::{Lifecycle, signals::Signals},
    listen::exit_tracker::ExitTracker,
    program::{config, task::Dump},
    server::socket::{bind, listen, passed},
    transport::acceptor::{Listeners, Pause, accept},
};

/// How many connections may be open at the same time. Further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;

/// How many items may wait to be printed.
const QUEUE: usize = 64;

/// How long exiting waits until everything is printed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Prints what clients send, until a signal or one of the lifecycle's options stops the server, or the output is closed.
///
/// # Errors
///
/// The address or the answer cannot be used. Nothing has listened then. Or the server listens, but cannot run the command
/// of `--exec` or write the file of `--port-file`.
pub(crate) fn run(dump: Dump) -> Result<Exit, StartError> {
    // Must run before there are threads, because it changes the environment.
    let passed = passed(None).or_exit(Exit::Address)?;
    let reply = dump.reply.as_ref().map(Reply::new).transpose().or_exit(Exit::Usage)?;
    let runtime = Runtime::new().context("cannot create a tokio runtime").or_exit(Exit::Failed)?;
    let (seen, to_print) = channel(QUEUE);
    let (done, is_done) = mpsc::channel::<()>();
    let (layout, is_colorful) = (dump.layout, dump.is_colorful);
    let printer = thread::Builder::new().name("print".into()).spawn(move || {
        // Fails when the output is closed. Dropping the receiver then stops the server.
        _ = print_all(to_print, layout);
        drop(done);
    });
    printer.context("cannot create the printing thread").or_exit(Exit::Failed)?;

    let exchanges_max = dump.lifecycle.exchanges.unwrap_or(u64::MAX);
    let (tracker, progress) = ExitTracker::new(exchanges_max);
    let events = Arc::new(Events::new(vec![Arc::new(tracker), Arc::new(Notices(seen.clone()))]));
    let mounts = Mounts::new([]).unwrap_or_else(|_| unreachable!("no mount is there twice"));
    let exchanges = Exchanges::new(
        Arc::new(mounts),
        Limits::DEFAULT,
        ConcurrencyLimits::of_this_machine(),
        GatewayOptions::DEFAULT,
        Arc::clone(&events),
    );
    let exchanges = Arc::new(exchanges.at_most(exchanges_max));
    // Most clients wait for an answer that does not come, so only a command gets time to end.
    let drain = if dump.lifecycle.exec.is_some() { config::DRAIN } else { Duration::ZERO };

    let exit = runtime.block_on(async {
        let signals = Signals::new().context("cannot receive signals").or_exit(Exit::Failed)?;
        let sockets = match &passed[..] {
            [] => bind(&dump.addr, None).await.or_exit(Exit::Address)?,
            _ => {
                events.notice(Level::Info, "using the sockets that were passed (LISTEN_FDS); --addr is ignored");
                passed
            }
        };
        let listeners = listen(sockets, &dump.addr).or_exit(Exit::Address)?;
        let addrs: io::Result<Vec<SocketAddr>> = listeners.iter().map(TcpListener::local_addr).collect();
        let addrs = addrs.context("cannot get the listening address").or_exit(Exit::Failed)?;
        // The others have the same port, or were passed after it.
        let addr = addrs[0];
        let mut lifecycle =
            Lifecycle::begin(dump.lifecycle, drain, addr, Arc::clone(&exchanges), Some(progress), signals)
                .or_exit(Exit::Failed)?;
        for addr in addrs {
            _ = seen.send(Seen::Note(format!("listening on http://{addr}"))).await;
        }
        if dump.is_narrowed {
            events.notice(Level::Info, config::narrowed(addr.port()));
        }
        lifecycle.launch(addr).or_exit(Exit::Failed)?;

        let printing = Arc::new(Printing::new(seen.clone(), layout, is_colorful, reply));
        let mut connections = JoinSet::new();
        let accepting = accept_all(listeners.into(), &exchanges, exchanges_max, &printing, &mut connections);
        let cut = tokio::select! {
            never = accepting => match never {},
            () = seen.closed() => None,
            cut = lifecycle.shutdown() => Some(cut),
        };
        if let (Some(cut), true) = (cut, exchanges.tally().accepted >= exchanges_max) {
            // The last connections may still be open.
            tokio::select! {
                () = async { while connections.join_next().await.is_some() {} } => {}
                () = seen.closed() => {}
                () = cut => {}
            }
        }
        connections.shutdown().await;
        Ok(lifecycle.end().await)
    });
    runtime.shutdown_background();
    drop((seen, events, exchanges));
    // Nothing is ever sent: the channel closes when everything is printed.
    _ = is_done.recv_timeout(FLUSH_TIMEOUT);
    exit
}

/// Accepts and prints connections, up to the last one that counts.
async fn accept_all(
    mut listeners: Listeners,
    exchanges: &Arc<Exchanges>,
    last: u64,
    printing: &Arc<Printing>,
    connections: &mut JoinSet<()>,
) -> Infallible {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut pause = Pause::default();
    loop {
        if exchanges.tally().accepted >= last {
            return future::pending().await;
        }
        let permit = Arc::clone(&permits).acquire_owned().await;
        let failed = |error: &io::Error| {
            exchanges.events().notice(Level::Error, format!("cannot accept a connection: {error}"));
        };
        let (stream, remote) = accept(&mut listeners, &mut pause, failed).await;
        let Ok(local) = stream.local_addr() else { continue };
        let exchange = Unparsed::begin(Arc::clone(exchanges), Peer { remote, local });
        let printing = Arc::clone(printing);
        connections.spawn(async move {
            printing.print(exchange.id(), stream, remote).await;
            drop((exchange, permit));
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Prints the notices of the lifecycle.
struct Notices(Sender<Seen>);

impl Listener for Notices {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Notice(notice) = event {
            // Dropped if the printer is behind.
            _ = self.0.try_send(Seen::Note(notice.to_string()));
        }
    }
}
