//! Connections that count as exchanges although nothing parses them, as those of `wasmserve dump`.

use std::sync::Arc;

use bytes::Bytes;
use wasmserve_gateway::{environ::Peer, request::RequestHead};

use super::{exchanges::Exchanges, in_progress::InProgress};

/// A connection that counts as an exchange. Ends the exchange when dropped, however the connection has ended.
pub(crate) struct Unparsed(InProgress);

impl Unparsed {
    /// Begins an exchange for a connection that has been accepted.
    #[must_use]
    pub(crate) fn begin(exchanges: Arc<Exchanges>, peer: Peer) -> Self {
        Self(InProgress::begin(exchanges, peer, RequestHead::new(Bytes::new()), None))
    }

    /// The number of the connection, from 1.
    #[must_use]
    pub(crate) fn id(&self) -> u64 {
        self.0.exchange.id
    }
}

impl Drop for Unparsed {
    fn drop(&mut self) {
        self.0.answered();
    }
}
