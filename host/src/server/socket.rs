//! The socket to listen on: bound here, or passed by whoever has started the server.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::anyhow;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// How many connections may wait in the system's queue.
const BACKLOG: u32 = 1024;

/// The socket that systemd or the like has passed (`LISTEN_FDS`), if there is one.
///
/// # Errors
///
/// There are several, or it is none for TCP.
#[cfg(unix)]
pub(crate) fn passed(linger: Option<Duration>) -> anyhow::Result<Option<TcpSocket>> {
    use std::{net::TcpStream, os::fd::OwnedFd};

    use anyhow::{Context as _, bail};

    let mut passed = listenfd::ListenFd::from_env();
    if passed.len() > 1 {
        bail!("{} sockets were passed (LISTEN_FDS); there must be one, or none", passed.len());
    }
    let unusable = "the socket that was passed (LISTEN_FDS) cannot be used";
    let Some(listener) = passed.take_tcp_listener(0).context(unusable)? else { return Ok(None) };
    listener.set_nonblocking(true).context(unusable)?;
    let socket = SockRef::from(&listener);
    if linger.is_some() {
        socket.set_linger(linger).context(unusable)?;
    }
    keep_little_unsent(SockRef::from(&listener));
    // It may do so already, and need not: whoever is connected cannot.
    socket.listen(BACKLOG.cast_signed()).context(unusable)?;
    // tokio has no other way to take one that it will call `listen` for.
    Ok(Some(TcpSocket::from_std_stream(TcpStream::from(OwnedFd::from(listener)))))
}

/// The socket that was passed: never one, on this system.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
pub(crate) fn passed(_: Option<Duration>) -> anyhow::Result<Option<TcpSocket>> {
    Ok(None)
}

/// A socket that is bound to one of the addresses that this stands for.
///
/// # Errors
///
/// None can be used, for the reason that the last one gives.
pub(crate) async fn bind(addr: &str, linger: Option<Duration>) -> anyhow::Result<TcpSocket> {
    let addrs: Vec<SocketAddr> = lookup_host(addr)
        .await
        .map_err(|error| {
            anyhow!("`{addr}` is no address to listen on: {error}; write HOST:PORT, as in 127.0.0.1:8000")
        })?
        .collect();
    let mut last = anyhow!("`{addr}` has no address");
    for candidate in addrs {
        match bind_to(candidate, linger) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = unusable(addr, Some(candidate), &error),
        }
    }
    Err(last)
}

fn bind_to(addr: SocketAddr, linger: Option<Duration>) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that is started again at once must not wait for the connections of the last one to time out.
    socket.set_reuseaddr(true)?;
    // Connections have these from the socket that accepts them.
    if linger.is_some() {
        SockRef::from(&socket).set_linger(linger)?;
    }
    keep_little_unsent(SockRef::from(&socket));
    socket.bind(addr)?;
    Ok(socket)
}

/// How many octets of a response the system keeps that it has not sent yet, for each connection. It would take megabytes of
/// what a handler writes for a client that reads nothing, and learn as much later that it does not.
#[cfg(target_os = "linux")]
fn keep_little_unsent(socket: SockRef<'_>) {
    const UNSENT_MAX: u32 = 128 << 10;
    // If the system refuses, slow clients cost more.
    _ = socket.set_tcp_notsent_lowat(UNSENT_MAX);
}

#[cfg(not(target_os = "linux"))]
fn keep_little_unsent(_: SockRef<'_>) {}

/// Lets it take connections, from now on.
///
/// # Errors
///
/// Another socket does, or this is none that could.
pub(crate) fn listen(socket: TcpSocket, addr: &str) -> anyhow::Result<TcpListener> {
    let bound = socket.local_addr().ok();
    socket.listen(BACKLOG).map_err(|error| unusable(addr, bound, &error))
}

fn unusable(addr: &str, candidate: Option<SocketAddr>, error: &io::Error) -> anyhow::Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let example = candidate.and_then(next_free).map(|free| format!(" (--addr {free} is free)"));
            let example = example.unwrap_or_default();
            format!("another process listens there; stop it, or choose a port with --addr HOST:PORT{example}")
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address; 127.0.0.1 is always there".into(),
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are the administrator's; choose another with --addr".into()
        }
        _ => "choose another with --addr HOST:PORT".into(),
    };
    anyhow!("cannot listen on `{addr}`: {error}: {remedy}")
}

/// The same address with the next port that nobody uses, if there is one nearby.
fn next_free(addr: SocketAddr) -> Option<SocketAddr> {
    let ports = addr.port().checked_add(1)?..=addr.port().saturating_add(100);
    let is_free = |addr: &SocketAddr| bind_to(*addr, None).is_ok_and(|socket| socket.listen(1).is_ok());
    ports.map(|port| SocketAddr::new(addr.ip(), port)).find(is_free)
}
