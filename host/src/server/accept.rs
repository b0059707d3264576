//! Accepts connections up to a limit, and closes new ones when file descriptors run out.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use wasmserve_gateway::environ::Peer;

use super::descriptors::{self, Spare};
use crate::{
    event::{Events, notice::Level},
    transport::acceptor::{Listeners, Pause},
};

/// The shortest interval between two notices about clients that were turned away.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How many clients are turned away before other tasks may run again.
const TURNED_AWAY_MAX: u64 = 1024;

/// Accepts a limited number of connections from one or more listeners. Keeps going whatever error accepting returns.
pub(super) struct Acceptor {
    listeners: Listeners,
    permits: Arc<Semaphore>,
    spare: Spare,
    pause: Pause,
    turned_away: u64,
    last_report: Option<Instant>,
    events: Arc<Events>,
}

impl Acceptor {
    /// Creates an acceptor for at most `connections` at the same time. Further clients wait in the system's queue.
    pub(super) fn new(listeners: Vec<TcpListener>, connections: usize, events: Arc<Events>) -> Self {
        Self {
            listeners: Listeners::from(listeners),
            permits: Arc::new(Semaphore::new(connections)),
            spare: Spare::new(),
            pause: Pause::default(),
            turned_away: 0,
            last_report: None,
            events,
        }
    }

    /// The next connection, with a permit that it must hold until it is closed.
    ///
    /// Cancel safe: it can be dropped and called again at any time, for example when a connection has ended and freed a
    /// descriptor.
    pub(super) async fn next(&mut self) -> (TcpStream, Peer, OwnedSemaphorePermit) {
        loop {
            let permit =
                Arc::clone(&self.permits).acquire_owned().await.unwrap_or_else(|_| unreachable!("never closed"));
            match poll_fn(|context| self.listeners.poll_accept(context))
                .await
                .and_then(|(stream, remote)| prepare(stream, remote))
            {
                Ok((stream, peer)) => {
                    self.pause.reset();
                    return (stream, peer, permit);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if self.turn_away().await {
                        self.report(&error);
                    }
                    self.pause.wait().await;
                }
            }
        }
    }

    /// Accepts and closes the connections of waiting clients, so that they do not hang. Returns whether there were or
    /// may be any.
    async fn turn_away(&mut self) -> bool {
        let Some(_lent) = self.spare.lend() else { return true };
        for turn in 0..TURNED_AWAY_MAX {
            let accepted = poll_fn(|context| match self.listeners.poll_accept(context) {
                Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
                Poll::Pending => Poll::Ready(None),
            });
            match accepted.await {
                Some(Ok(_)) => self.turned_away += 1,
                Some(Err(_)) => break,
                None => return turn > 0,
            }
        }
        true
    }

    /// Reports why clients are turned away, and the remedy.
    fn report(&mut self, error: &io::Error) {
        if self.last_report.is_some_and(|at| at.elapsed() < REPORT_INTERVAL) {
            return;
        }
        let why = match Errno::from_io_error(error) {
            Some(Errno::MFILE) => {
                let limit = descriptors::limit().map_or_else(String::new, |limit| format!(" of {limit}"));
                format!("all file descriptors{limit} are in use; raise `ulimit -n` or lower --max-connections")
            }
            #[cfg(unix)]
            Some(Errno::NFILE) => "the system has no file descriptors left".to_owned(),
            _ => error.to_string(),
        };
        let what = match self.turned_away {
            0 => "clients have to wait".to_owned(),
            number => format!("clients turned away: {number}"),
        };
        self.events.notice(Level::Error, format!("{what}: {why}"));
        self.turned_away = 0;
        self.last_report = Some(Instant::now());
    }
}

fn prepare(stream: TcpStream, remote: SocketAddr) -> io::Result<(TcpStream, Peer)> {
    let local = stream.local_addr()?;
    // A chunk must be sent when it is written, not when the client has acknowledged the previous one.
    stream.set_nodelay(true)?;
    Ok((stream, Peer { remote, local }))
}

/// Whether an error concerns only the connection that was being accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected)
}
