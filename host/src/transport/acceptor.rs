//! Accepts connections, and pauses after failures instead of spinning.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// The first and the longest pause after a failure.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// The pause after a failed accept. Doubles with each failure in a row.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSES[0])
    }
}

impl Pause {
    /// Resets the pause after a success.
    pub(crate) fn reset(&mut self) {
        self.0 = PAUSES[0];
    }

    /// Waits after a failure.
    pub(crate) async fn wait(&mut self) {
        let pause = self.0;
        self.0 = PAUSES[1].min(2 * pause);
        sleep(pause).await;
    }
}

/// Listeners that are served alike.
pub(crate) struct Listeners {
    all: Vec<TcpListener>,
    /// The one that is asked first: each in turn, so that a busy one does not hold up the others.
    first: usize,
}

impl From<Vec<TcpListener>> for Listeners {
    fn from(all: Vec<TcpListener>) -> Self {
        Self { all, first: 0 }
    }
}

impl Listeners {
    /// Accepts a connection from any of them.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        for turn in 0..self.all.len() {
            let at = (self.first + turn) % self.all.len();
            if let Poll::Ready(accepted) = self.all[at].poll_accept(cx) {
                self.first = at + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

/// Waits for the next connection. Passes errors to `failed` and pauses after each.
pub(crate) async fn accept(
    listeners: &mut Listeners,
    pause: &mut Pause,
    mut failed: impl FnMut(&io::Error),
) -> (TcpStream, SocketAddr) {
    loop {
        match poll_fn(|cx| listeners.poll_accept(cx)).await {
            Ok(accepted) => {
                pause.reset();
                return accepted;
            }
            Err(error) => {
                failed(&error);
                pause.wait().await;
            }
        }
    }
}
