//! The socket to listen on, bound here or passed by a service manager.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::anyhow;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// How many connections may wait in the system's accept queue.
const BACKLOG: u32 = 1024;

/// The socket that a service manager such as systemd passed (`LISTEN_FDS`), if there is one.
///
/// # Errors
///
/// Several sockets were passed, or the socket is not a TCP socket.
#[cfg(unix)]
pub(crate) fn passed(linger: Option<Duration>) -> anyhow::Result<Option<TcpSocket>> {
    use std::{net::TcpStream, os::fd::OwnedFd};

    use anyhow::{Context as _, bail};

    let mut passed = listenfd::ListenFd::from_env();
    if passed.len() > 1 {
        bail!("{} sockets were passed (LISTEN_FDS); pass at most one", passed.len());
    }
    let unusable = "the socket that was passed (LISTEN_FDS) cannot be used";
    let Some(listener) = passed.take_tcp_listener(0).context(unusable)? else { return Ok(None) };
    listener.set_nonblocking(true).context(unusable)?;
    let socket = SockRef::from(&listener);
    if linger.is_some() {
        socket.set_linger(linger).context(unusable)?;
    }
    keep_little_unsent(SockRef::from(&listener));
    // The socket may not be listening yet. A connected socket fails here.
    socket.listen(BACKLOG.cast_signed()).context(unusable)?;
    // tokio offers no other way to adopt a socket on which it will call `listen`.
    Ok(Some(TcpSocket::from_std_stream(TcpStream::from(OwnedFd::from(listener)))))
}

/// Always `None`: this system has no way to pass a socket.
///
/// # Errors
///
/// Never.
#[cfg(not(unix))]
pub(crate) fn passed(_: Option<Duration>) -> anyhow::Result<Option<TcpSocket>> {
    Ok(None)
}

/// Binds a socket to the first usable address that `addr` resolves to.
///
/// # Errors
///
/// No address is usable. The error is that of the last one.
pub(crate) async fn bind(addr: &str, linger: Option<Duration>) -> anyhow::Result<TcpSocket> {
    let addrs: Vec<SocketAddr> = lookup_host(addr)
        .await
        .map_err(|error| {
            anyhow!("`{addr}` is not an address to listen on: {error}; write HOST:PORT, as in 127.0.0.1:8000")
        })?
        .collect();
    let mut last = anyhow!("`{addr}` does not resolve to an address");
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
    // A restarted server must not have to wait until the old connections time out.
    socket.set_reuseaddr(true)?;
    // Connections inherit these options from the listening socket.
    if linger.is_some() {
        SockRef::from(&socket).set_linger(linger)?;
    }
    keep_little_unsent(SockRef::from(&socket));
    socket.bind(addr)?;
    Ok(socket)
}

/// Limits how many unsent bytes the system buffers for each connection. Otherwise it would accept megabytes of a
/// response for a client that reads nothing, and that would be noticed only much later.
#[cfg(target_os = "linux")]
fn keep_little_unsent(socket: SockRef<'_>) {
    const UNSENT_MAX: u32 = 128 << 10;
    // If the option cannot be set, slow clients only cost more memory.
    _ = socket.set_tcp_notsent_lowat(UNSENT_MAX);
}

#[cfg(not(target_os = "linux"))]
fn keep_little_unsent(_: SockRef<'_>) {}

/// Starts listening.
///
/// # Errors
///
/// Another socket listens on the address, or this socket cannot listen.
pub(crate) fn listen(socket: TcpSocket, addr: &str) -> anyhow::Result<TcpListener> {
    let bound = socket.local_addr().ok();
    socket.listen(BACKLOG).map_err(|error| unusable(addr, bound, &error))
}

fn unusable(addr: &str, candidate: Option<SocketAddr>, error: &io::Error) -> anyhow::Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let example = candidate.and_then(next_free).map(|free| format!(" (--addr {free} is free)"));
            let example = example.unwrap_or_default();
            format!("another process listens there; stop it, or choose another port with --addr HOST:PORT{example}")
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; 127.0.0.1 always works".into(),
        io::ErrorKind::PermissionDenied => "ports below 1024 are reserved for root; choose another with --addr".into(),
        _ => "choose another with --addr HOST:PORT".into(),
    };
    anyhow!("cannot listen on `{addr}`: {error}: {remedy}")
}

/// The same address with the next free port, if one of the next hundred is free.
fn next_free(addr: SocketAddr) -> Option<SocketAddr> {
    let ports = addr.port().checked_add(1)?..=addr.port().saturating_add(100);
    let is_free = |addr: &SocketAddr| bind_to(*addr, None).is_ok_and(|socket| socket.listen(1).is_ok());
    ports.map(|port| SocketAddr::new(addr.ip(), port)).find(is_free)
}
