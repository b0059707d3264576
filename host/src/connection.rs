//! One socket: which protocol it speaks, hyper's parser and writer, and the timeouts that they need.
//!
//! The only room that knows hyper.

mod frames;
mod http1;
mod http2;
mod open;
mod patience;
mod received;
pub mod requests;
pub mod stats;
mod turn;
mod wire;

use std::{io, sync::Arc};

use bytes::BytesMut;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout_at},
};

use self::wire::Wire;
use crate::{exchange::Exchanges, gateway::environ::Peer};

/// How a connection of HTTP/2 begins, if the client knows that we speak it (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it is closed; until it is idle, once `drain` says that the server stops.
pub async fn serve(stream: TcpStream, peer: Peer, exchanges: Arc<Exchanges>, mut drain: watch::Receiver<bool>) {
    let accepted = Instant::now();
    let mut begun = BytesMut::new();
    let protocol = tokio::select! {
        protocol = timeout_at(accepted + exchanges.limits().head_timeout, sniff(&stream, &mut begun)) => protocol,
        () = stopped(&mut drain) => return,
    };
    let wire = Wire::new(stream, begun, exchanges.limits());
    match protocol {
        Ok(Ok(Protocol::Http1)) => http1::serve(wire, accepted, peer, exchanges, drain).await,
        // In a box, so that there is no room for it in the other connections.
        Ok(Ok(Protocol::Http2)) => Box::pin(http2::serve(wire, peer, exchanges, drain)).await,
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

/// Ready when the server stops.
async fn stopped(drain: &mut watch::Receiver<bool>) {
    drop(drain.wait_for(|is_draining| *is_draining).await);
}
