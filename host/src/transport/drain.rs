//! Lets connections wait for the server to stop.

use tokio::sync::watch;

/// Ready when the server stops.
pub(super) async fn stopped(drain: &mut watch::Receiver<bool>) {
    drop(drain.wait_for(|is_draining| *is_draining).await);
}
