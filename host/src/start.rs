//! From a checked configuration to a server that runs, and to its end.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpSocket, lookup_host},
    runtime::Builder,
};

use crate::{
    config::{Config, Source, Task},
    connection, dump,
    exchange::Exchanges,
    exit::{Exit, StartError},
    handler::{self, Engine, Handler},
    inspect,
    log::Log,
    record::{Event, Record},
    server,
    stats::Stats,
    template,
};

/// How many connections may wait in the system's queue.
const BACKLOG: u32 = 1024;

/// Does what the program was called for.
///
/// # Errors
///
/// See [`serve`] and [`handler::compile_only`].
pub fn run(task: Task) -> Result<Exit, StartError> {
    match task {
        Task::Serve(config) => serve(*config),
        Task::Compile(compile) => handler::compile_only(&compile),
        Task::New(new) => said(template::new(&new)),
        Task::Eject(example) => said(template::eject(example)),
        Task::Inspect(inspect) => inspect::run(&inspect),
        Task::Dump(dump) => dump::run(&dump),
    }
}

/// Tells on stdout what has come of something.
fn said(text: anyhow::Result<String>) -> Result<Exit, StartError> {
    let text = text.map_err(|error| StartError::new(Exit::Failed, &error))?;
    // If nobody reads it, it was done all the same.
    _ = io::stdout().write_all(text.as_bytes());
    Ok(Exit::Done)
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
///
/// The address cannot be used, or the handler cannot be served. Nothing has listened then.
pub fn serve(config: Config) -> Result<Exit, StartError> {
    let failed = |exit| move |error: anyhow::Error| StartError::new(exit, &error);
    server::raise_limit();
    // Connections have threads of their own.
    let runtime =
        Builder::new_current_thread().enable_all().build().context("no runtime").map_err(failed(Exit::Failed))?;
    let log = Arc::new(Log::spawn(config.access_log).context("no thread for the log").map_err(failed(Exit::Failed))?);
    let record: Record = Arc::clone(&log) as _;
    // If nobody reads it, serving goes on.
    let say = |line: String| record.tell(Event::Server { line });

    // The socket is bound first, as that is quick and compiling may not be; it listens when all is ready.
    let socket = runtime.block_on(bind(&config.addr, config.linger)).map_err(failed(Exit::Address))?;
    let (engine, warning) =
        Engine::with_compiler(&config.room, config.compile, Arc::clone(&record)).map_err(failed(Exit::Failed))?;
    if let Some(warning) = warning {
        say(format!("wasmserve: warning: {warning:#}"));
    }
    let load = |source: Source| Handler::load(&engine, &source, config.component, &config.limits, &config.grants);
    let handlers = config.handlers.try_map(load).map_err(failed(Exit::Handler))?;
    let exchanges =
        Arc::new(Exchanges::new(handlers, config.limits, config.crowd, config.gateway, Arc::clone(&record)));
    runtime.spawn(engine.watch(Arc::clone(&record)));

    let exit = runtime.block_on(async {
        let listener = listen(socket, &config.addr).map_err(failed(Exit::Address))?;
        let addr = listener.local_addr().context("no address").map_err(failed(Exit::Failed))?;
        let mut signals = Signals::new().context("no signals").map_err(failed(Exit::Failed))?;
        if let Some(at) = config.stats {
            let bound = TcpListener::bind(at).await.with_context(|| format!("cannot listen on `{at}` for --stats"));
            let listener = bound.map_err(failed(Exit::Address))?;
            let stats = Stats::new(Arc::clone(&exchanges), Arc::clone(&engine));
            say(format!("statistics on http://{}/metrics", listener.local_addr().unwrap_or(at)));
            tokio::spawn(connection::stats::serve(listener, Arc::new(stats)));
        }
        config.grants.to_string().lines().for_each(|grant| say(grant.to_owned()));
        say(format!("listening on http://{addr}"));
        server::run(listener, Arc::clone(&exchanges), config.connections, config.drain, async move {
            loop {
                match signals.recv().await {
                    Signal::Tell => exchanges.tell_running().await,
                    Signal::Interrupt => {
                        // Whoever presses Ctrl-C may do so because something is stuck.
                        tokio::spawn(async move { exchanges.tell_running().await });
                        break;
                    }
                    Signal::Terminate => break,
                }
            }
            tokio::spawn(async move {
                while signals.recv().await == Signal::Tell {}
                std::process::exit(Exit::Interrupted as i32);
            });
        })
        .await
        .context("no threads for connections")
        .map_err(failed(Exit::Failed))?;
        Ok(Exit::Done)
    });
    // What handlers still do (a file system that does not answer, say) is no reason to stay.
    runtime.shutdown_timeout(Duration::from_millis(100));
    log.flush();
    exit
}

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
    keep_little_unsent(&socket);
    socket.bind(addr)?;
    Ok(socket)
}

/// How many octets of a response the system keeps that it has not sent yet, for each connection. It would take megabytes of
/// what a handler writes for a client that reads nothing, and learn as much later that it does not.
#[cfg(target_os = "linux")]
fn keep_little_unsent(socket: &TcpSocket) {
    const UNSENT_MAX: u32 = 128 << 10;
    // If the system refuses, slow clients cost more.
    _ = SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_MAX);
}

#[cfg(not(target_os = "linux"))]
fn keep_little_unsent(_: &TcpSocket) {}

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

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// To tell what runs, and stop: SIGINT.
    Interrupt,
    /// To stop: SIGTERM.
    Terminate,
    /// To tell what runs, and go on: SIGQUIT or SIGUSR1.
    Tell,
}

#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    user: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    pub(crate) async fn recv(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.quit.recv() => Signal::Tell,
            _ = self.user.recv() => Signal::Tell,
        }
    }
}

#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn recv(&mut self) -> Signal {
        // It fails only if no handler can be installed, and then nothing would ever arrive.
        _ = tokio::signal::ctrl_c().await;
        Signal::Interrupt
    }
}
