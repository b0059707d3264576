//! One connection: which protocol it speaks, hyper's parser and writer, and the timeouts that they need.
//!
//! The only room that knows hyper.

pub(crate) mod acceptor;
pub(crate) mod admin;
mod drain;
mod http1;
mod http2;
mod pace;
mod preface;
mod request_body;
mod socket;

use std::{io, sync::Arc};

use bytes::BytesMut;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout_at},
};
use wasmserve_gateway::environ::Peer;

use self::{drain::stopped, preface::PREFACE, socket::Socket};
use crate::exchange::Exchanges;

/// Serves a connection until it is closed; until it is idle, once `drain` says that the server stops.
pub(crate) async fn serve(stream: TcpStream, peer: Peer, exchanges: Arc<Exchanges>, mut drain: watch::Receiver<bool>) {
    let accepted = Instant::now();
    let mut begun = BytesMut::new();
    let protocol = tokio::select! {
        protocol = timeout_at(accepted + exchanges.limits().head_timeout, sniff(&stream, &mut begun)) => protocol,
        () = stopped(&mut drain) => return,
    };
    let socket = Socket::new(stream, begun, exchanges.limits());
    match protocol {
        Ok(Ok(Protocol::Http1)) => http1::serve(socket, accepted, peer, exchanges, drain).await,
        // In a box, so that there is no room for it in the other connections.
        Ok(Ok(Protocol::Http2)) => Box::pin(http2::serve(socket, peer, exchanges, drain)).await,
        // It has not said anything, or not enough to tell: there is nothing to answer.
        Ok(Err(_)) | Err(_) => {}
    }
}

enum Protocol {
    Http1,
    Http2,
}

/// How much is read before it is clear what the client speaks: most heads as a whole. hyper makes its buffer twice as large,
/// and keeps it so, when a head comes in pieces.
const FIRST: usize = 4 << 10;

/// Reads until it is clear what the client speaks. What was read stays in `begun`.
async fn sniff(stream: &TcpStream, begun: &mut BytesMut) -> io::Result<Protocol> {
    loop {
        stream.readable().await?;
        let mut octets = [0; FIRST];
        match stream.try_read(&mut octets) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => begun.extend_from_slice(&octets[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if begun.starts_with(PREFACE) {
            return Ok(Protocol::Http2);
        }
        if !PREFACE.starts_with(begun) {
            return Ok(Protocol::Http1);
        }
    }
}
