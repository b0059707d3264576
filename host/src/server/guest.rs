//! Connections that no client has opened: the server opened them itself, to replay requests.

use std::{convert::Infallible, net::TcpStream};

use tokio::sync::oneshot;
use wasmserve_gateway::environ::Peer;

use crate::capture::record::Origin;

/// A connection to serve as if it had been accepted from a client.
pub(crate) struct Guest {
    /// The server's end, which does not block.
    pub stream: TcpStream,
    /// The addresses that the handler sees.
    pub peer: Peer,
    /// Where its requests come from.
    pub origin: Origin,
    /// Dropped once the connection has been served.
    pub until_served: oneshot::Sender<Infallible>,
}
