//! The sockets to listen on, bound here or passed by a service manager.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::anyhow;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::owner;
use crate::base::address::Address;

/// How many free ports are tried if one is needed at several addresses.
const PORTS_TRIED: u32 = 16;

/// How many connections may wait in the system's accept queue.
const BACKLOG: u32 = 1024;

/// The sockets that a service manager such as systemd passed (`LISTEN_FDS`); empty if there are none.
///
/// # Errors
///
/// One of them is not a TCP socket that can listen.
#[cfg(unix)]
pub(crate) fn passed(linger: Option<Duration>) -> anyhow::Result<Vec<TcpSocket>> {
    let mut passed = listenfd::ListenFd::from_env();
    let number = passed.len();
    let adopted = (0..number).map(|at| {
        let listener = passed.take_tcp_listener(at).and_then(|listener| match listener {
            Some(listener) => adopt(listener, linger),
            None => Err(io::ErrorKind::NotFound.into()),
        });
        listener.map_err(|error| match number {
            1 => anyhow!("the socket that was passed (LISTEN_FDS) cannot be used: {error}; pass a TCP socket"),
            _ => anyhow!(
                "socket {} of the {number} that were passed (LISTEN_FDS) cannot be used: {error}; pass TCP sockets",
                at + 1
            ),
        })
    });
    adopted.collect()
}

#[cfg(unix)]
fn adopt(listener: std::net::TcpListener, linger: Option<Duration>) -> io::Result<TcpSocket> {
    use std::{net::TcpStream, os::fd::OwnedFd};

    listener.set_nonblocking(true)?;
    let socket = SockRef::from(&listener);
    if linger.is_some() {
        socket.set_linger(linger)?;
    }
    keep_little_unsent(SockRef::from(&listener));
    // The socket may not be listening yet. A connected socket fails here.
    socket.listen(BACKLOG.cast_signed())?;
    // tokio offers no other way to adopt a socket on which it will call `listen`.
    Ok(TcpSocket::from_std_stream(TcpStream::from(OwnedFd::from(listener))))
}

/// Always empty: this system has no way to pass a socket.
///
/// # Errors
///
/// Never.
#[cfg(not(unix))]
pub(crate) fn passed(_: Option<Duration>) -> anyhow::Result<Vec<TcpSocket>> {
    Ok(Vec::new())
}

/// Binds sockets to all addresses that `addr` resolves to and this machine has, all with the same port.
///
/// # Errors
///
/// The name does not resolve, this machine has none of its addresses, or one of them cannot be used.
pub(crate) async fn bind(addr: &Address, linger: Option<Duration>) -> anyhow::Result<Vec<TcpSocket>> {
    let resolved = lookup_host((&*addr.host, addr.port)).await.map_err(|_| {
        let host = &addr.host;
        anyhow!(
            "cannot listen on `{addr}`: no address was found for the name `{host}`; check its spelling, or write HOST:PORT \
             with an address of this machine, as in 127.0.0.1:8000"
        )
    })?;
    let mut candidates: Vec<SocketAddr> = Vec::new();
    for candidate in resolved {
        if !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    }
    // The first one is shown first, and not every client knows IPv6.
    candidates.sort_by_key(SocketAddr::is_ipv6);
    let mut attempts = PORTS_TRIED;
    loop {
        attempts -= 1;
        match bind_all(&candidates, linger) {
            Ok(sockets) => return Ok(sockets),
            // The port that is free at one address may not be free at another one.
            Err((_, error)) if addr.port == 0 && attempts > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err((candidate, error)) => return Err(unusable(addr, candidate, &error)),
        }
    }
}

/// Binds sockets to all candidates that this machine has. If their port is 0, all get the port that the first one gets.
/// An error is returned with the candidate that it is about.
fn bind_all(
    candidates: &[SocketAddr],
    linger: Option<Duration>,
) -> Result<Vec<TcpSocket>, (Option<SocketAddr>, io::Error)> {
    let (mut sockets, mut missing) = (Vec::new(), (None, io::ErrorKind::AddrNotAvailable.into()));
    let mut free = None;
    for candidate in candidates {
        let mut candidate = *candidate;
        if let Some(free) = free {
            candidate.set_port(free);
        }
        match bind_to(candidate, linger).and_then(|socket| Ok((socket.local_addr()?.port(), socket))) {
            Ok((port, socket)) => {
                free = Some(port);
                sockets.push(socket);
            }
            Err(error) if is_missing(&error) => missing = (Some(candidate), error),
            Err(error) => return Err((Some(candidate), error)),
        }
    }
    if sockets.is_empty() { Err(missing) } else { Ok(sockets) }
}

/// Whether this machine does not have the address, or none of its kind: IPv6 may be switched off.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::AFNOSUPPORT)
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

/// Listens at an address for ourselves, beside the handlers' sockets, which have the ports in `taken` but may not listen
/// yet. `flag` is how the user chooses another one.
///
/// # Errors
///
/// The address cannot be used.
pub(crate) fn listen_beside(addr: SocketAddr, taken: &[u16], flag: &str) -> anyhow::Result<std::net::TcpListener> {
    let error = match std::net::TcpListener::bind(addr) {
        Ok(_) if addr.port() != 0 && taken.contains(&addr.port()) => {
            return Err(anyhow!(
                "cannot listen on `{addr}` for {flag}: the port is that of the handlers; choose another one"
            ));
        }
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let owner = (error.kind() == io::ErrorKind::AddrInUse).then(|| owner::of(addr)).flatten();
    let owner = owner.map_or_else(String::new, |owner| format!(" ({owner})"));
    Err(anyhow!("cannot listen on `{addr}` for {flag}: {error}{owner}; choose another port"))
}

/// Starts listening on all sockets.
///
/// # Errors
///
/// Another socket listens on an address, or a socket cannot listen.
pub(crate) fn listen(sockets: Vec<TcpSocket>, addr: &Address) -> anyhow::Result<Vec<TcpListener>> {
    let listen = |socket: TcpSocket| {
        let bound = socket.local_addr().ok();
        socket.listen(BACKLOG).map_err(|error| unusable(addr, bound, &error))
    };
    sockets.into_iter().map(listen).collect()
}

fn unusable(addr: &Address, candidate: Option<SocketAddr>, error: &io::Error) -> anyhow::Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let owner = candidate.and_then(owner::of).map_or_else(String::new, |owner| format!(" ({owner})"));
            let example = candidate.and_then(next_free).map(|free| format!(" (--addr {free} is free)"));
            let example = example.unwrap_or_default();
            format!("another process listens there{owner}; stop it, or choose another port with --port PORT{example}")
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; 127.0.0.1 always works".into(),
        io::ErrorKind::PermissionDenied => "ports below 1024 are reserved for root; choose another with --port".into(),
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
