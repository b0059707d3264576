//! A bare hyper: no gateway, no handler, no limits, no log.
//!
//! It greets, and echoes what is posted to it. No server that is built on hyper can cost less.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    thread,
};

use anyhow::Result;
use bytes::Bytes;
use http::{Method, header};
use http_body_util::{Either, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

use crate::exercise::HELLO;

/// Serves until it is killed.
///
/// # Errors
///
/// The port is taken, or the system cannot create more threads.
pub fn serve(port: u16, per_core: bool) -> Result<()> {
    let addr = (Ipv4Addr::LOCALHOST, port).into();
    if !per_core {
        return Ok(Runtime::new()?.block_on(accept(listen(addr)?))?);
    }
    let cores = thread::available_parallelism()?.get();
    let threads: Vec<_> = (0..cores)
        .map(|_| {
            thread::spawn(move || -> Result<()> {
                Ok(Builder::new_current_thread().enable_all().build()?.block_on(accept(listen(addr)?))?)
            })
        })
        .collect();
    threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
}

fn listen(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream));
    }
}

async fn connection(stream: TcpStream) {
    _ = stream.set_nodelay(true);
    // A client that leaves is not an error.
    _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Either<Full<Bytes>, Incoming>>, Infallible> {
    if request.method() == Method::POST {
        return Ok(Response::new(Either::Right(request.into_body())));
    }
    let mut response = Response::new(Either::Left(Full::from(HELLO)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    Ok(response)
}
