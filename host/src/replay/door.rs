//! The way of a replayed request into the server: a connection to ourselves, served like any other.

use std::{io, net, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    time::{Instant, sleep_until},
};
use wasmserve_gateway::responses::{Piece, Responses};

use crate::transport::http2::client::{self, Content};

/// A request to send.
pub(super) enum Sending {
    /// As these bytes.
    Http1(Written),
    /// With this content; the client leaves after as many bytes of the response's, if it does not take all of it.
    Http2(Box<http::Request<Content>>, Option<u64>),
}

/// The bytes of a request.
pub(super) struct Written {
    /// Its parts, each with the time to send it at after the first one.
    pub parts: Vec<(Duration, Bytes)>,
    /// Whether to close the sending side after it.
    pub closes: bool,
    /// Whether it is a HEAD, whose response has no body.
    pub is_head: bool,
    /// After how many bytes of the response the client leaves, if it does not take all of it.
    pub leaves_after: Option<u64>,
}

/// Opens a connection between two sockets of ours, and returns the client's and the server's. Nothing else can get to
/// either.
///
/// # Errors
///
/// The system has no loopback interface, or no more descriptors.
pub(super) async fn open() -> io::Result<(TcpStream, net::TcpStream)> {
    let loopback: [net::IpAddr; 2] = [net::Ipv4Addr::LOCALHOST.into(), net::Ipv6Addr::LOCALHOST.into()];
    let listener = TcpListener::bind(&loopback.map(|ip| net::SocketAddr::from((ip, 0)))[..]).await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let ours = client.local_addr()?;
    // Another program may have connected first.
    let server = loop {
        let (stream, remote) = listener.accept().await?;
        if remote == ours {
            break stream;
        }
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    Ok((client, server.into_std()?))
}

/// Sends a request and waits for its whole response, which is recorded at the other end. Returns when the response is
/// complete, the server has closed the connection, or the client leaves.
///
/// # Errors
///
/// The connection broke before that.
pub(super) async fn send(stream: TcpStream, sending: Sending) -> io::Result<()> {
    match sending {
        Sending::Http1(written) => send_written(stream, &written).await,
        Sending::Http2(request, leaves_after) => client::send(stream, *request, leaves_after).await,
    }
}

async fn send_written(stream: TcpStream, sending: &Written) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let mut answer = std::pin::pin!(response(&mut reader, sending));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The response may come before the request is sent, and is then all that there will be.
        _ = request(&mut writer, sending) => answer.await,
    }
}

async fn request(writer: &mut OwnedWriteHalf, sending: &Written) -> io::Result<()> {
    let began = Instant::now();
    for (at, part) in &sending.parts {
        sleep_until(began + *at).await;
        writer.write_all(part).await?;
    }
    if sending.closes {
        writer.shutdown().await?;
    }
    Ok(())
}

async fn response(reader: &mut OwnedReadHalf, sending: &Written) -> io::Result<()> {
    let (mut responses, mut buffer) = (Responses::default(), vec![0; 64 << 10]);
    let (mut has_head, mut is_lost, mut received) = (false, false, 0);
    loop {
        let length = reader.read(&mut buffer).await?;
        received += length as u64;
        if length == 0 || sending.leaves_after.is_some_and(|bytes| received >= bytes) {
            return Ok(());
        }
        let mut bytes = &buffer[..length];
        while !is_lost {
            match responses.next(&mut bytes, sending.is_head) {
                Ok(Some(piece)) => has_head |= piece == Piece::Head,
                Ok(None) => break,
                // Then it ends with the connection.
                Err(_) => is_lost = true,
            }
            if has_head && responses.is_between() {
                return Ok(());
            }
        }
    }
}
