//! The door: who may come in, and what becomes of those who cannot.

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
    transport::acceptor::Pause,
};

/// How often it is told that clients are turned away.
const TELL: Duration = Duration::from_secs(1);

/// How many clients are turned away before running connections have their turn again.
const TURNED_AWAY_MAX: u64 = 1024;

/// A listener that lets in no more than there is room for. No failure to accept a connection is a reason to stop.
pub(super) struct Door {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    spare: Spare,
    pause: Pause,
    turned_away: u64,
    told: Option<Instant>,
    events: Arc<Events>,
}

impl Door {
    /// One for so many connections at the same time. More wait in the system's queue.
    pub(super) fn new(listener: TcpListener, connections: usize, events: Arc<Events>) -> Self {
        Self {
            listener,
            permits: Arc::new(Semaphore::new(connections)),
            spare: Spare::new(),
            pause: Pause::default(),
            turned_away: 0,
            told: None,
            events,
        }
    }

    /// The next connection, and the permit to have it open.
    ///
    /// May be given up and called again at any time: whenever a connection has ended, say, as that makes room.
    pub(super) async fn next(&mut self) -> (TcpStream, Peer, OwnedSemaphorePermit) {
        loop {
            let permit =
                Arc::clone(&self.permits).acquire_owned().await.unwrap_or_else(|_| unreachable!("never closed"));
            match self.listener.accept().await.and_then(|(stream, remote)| prepare(stream, remote)) {
                Ok((stream, peer)) => {
                    self.pause.reset();
                    return (stream, peer, permit);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if self.turn_away().await {
                        self.tell(&error);
                    }
                    self.pause.wait().await;
                }
            }
        }
    }

    /// Closes the connections of those who wait, so that they need not wait for what may never come. Says whether anybody
    /// was there, or may be.
    async fn turn_away(&mut self) -> bool {
        let Some(_lent) = self.spare.lend() else { return true };
        for turn in 0..TURNED_AWAY_MAX {
            let accepted = poll_fn(|context| match self.listener.poll_accept(context) {
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

    /// Says why clients are turned away, and what helps.
    fn tell(&mut self, error: &io::Error) {
        if self.told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        let why = match Errno::from_io_error(error) {
            Some(Errno::MFILE) => {
                let limit = descriptors::limit().map_or_else(String::new, |limit| format!(" of {limit}"));
                format!(
                    "all file descriptors{limit} are in use; `ulimit -n` gives it more, --max-connections needs fewer"
                )
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
        self.told = Some(Instant::now());
    }
}

fn prepare(stream: TcpStream, remote: SocketAddr) -> io::Result<(TcpStream, Peer)> {
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
