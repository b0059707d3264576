//! Accepting connections without spinning where that fails.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// How long nothing is accepted after a failure: at first, and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// How long to wait after a failure: twice as long each time in a row.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSES[0])
    }
}

impl Pause {
    /// It has worked.
    pub(crate) fn reset(&mut self) {
        self.0 = PAUSES[0];
    }

    /// Waits, as it has failed.
    pub(crate) async fn wait(&mut self) {
        let pause = self.0;
        self.0 = PAUSES[1].min(2 * pause);
        sleep(pause).await;
    }
}

/// The next connection, however long that takes. Errors are passed to `failed`, and followed by a pause.
pub(crate) async fn accept(
    listener: &TcpListener,
    pause: &mut Pause,
    mut failed: impl FnMut(&std::io::Error),
) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
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
