//! Accepts connections, and pauses after failures instead of spinning.

use std::{net::SocketAddr, time::Duration};

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

/// Waits for the next connection. Passes errors to `failed` and pauses after each.
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
