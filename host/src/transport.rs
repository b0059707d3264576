//! Serves one connection: detects its protocol, runs hyper on it, and enforces timeouts.
//!
//! The only module that uses hyper.

pub(crate) mod acceptor;
pub(crate) mod admin;
mod drain;
mod http1;
pub(crate) mod http2;
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
use crate::{capture::record::Origin, exchange::Exchanges};

/// Serves a connection until it closes, or until it is idle once `drain` is set because the server stops.
///
/// What it carries is recorded with this origin, if exchanges are captured.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: Peer,
    origin: Origin,
    exchanges: Arc<Exchanges>,
    mut drain: watch::Receiver<bool>,
) {
    let accepted = Instant::now();
    let mut prefix = BytesMut::new();
    let protocol = tokio::select! {
        protocol = timeout_at(accepted + exchanges.limits().head_timeout, sniff(&stream, &mut prefix)) => protocol,
        () = stopped(&mut drain) => return,
    };
    let socket = Socket::new(stream, prefix, exchanges.limits());
    match protocol {
        Ok(Ok(Protocol::Http1)) => http1::serve(socket, accepted, peer, origin, exchanges, drain).await,
        // Boxed, so that HTTP/1 connections do not reserve space for it.
        Ok(Ok(Protocol::Http2)) => Box::pin(http2::serve(socket, peer, origin, exchanges, drain)).await,
        // The client sent nothing, or too little to detect the protocol: there is nothing to answer.
        Ok(Err(_)) | Err(_) => {}
    }
}

enum Protocol {
    Http1,
    Http2,
}

/// Bytes read before the protocol is detected, enough for most heads as a whole. When a head arrives in pieces, hyper
/// doubles its buffer and keeps it that large.
const FIRST_READ: usize = 4 << 10;

/// Reads until the protocol is clear, and appends what was read to `prefix`.
async fn sniff(stream: &TcpStream, prefix: &mut BytesMut) -> io::Result<Protocol> {
    loop {
        stream.readable().await?;
        let mut bytes = [0; FIRST_READ];
        match stream.try_read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => prefix.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if prefix.starts_with(PREFACE) {
            return Ok(Protocol::Http2);
        }
        if !PREFACE.starts_with(prefix) {
            return Ok(Protocol::Http1);
        }
    }
}
