//! `wasmserve HANDLER`: sets up the server from its configuration and runs it.

mod capturing;
mod metrics;

use std::{
    io,
    net::SocketAddr,
    panic, process,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, anyhow};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::spawn_blocking,
};
use wasmserve_gateway::mounts::Mounts;

use self::capturing::{Capturing, Replays, why_not_on_save};
use crate::{
    base::{
        dirs,
        exit::{Exit, OrExit as _, StartError},
        grants::{Allowance, Grants},
    },
    event::{Event, Events, Listener, listening::Listening, notice::Level},
    exchange::Exchanges,
    kind::{
        files::reload::Changes,
        wasm::{engine::Engine, python::Interpreter},
    },
    lifecycle::{
        self, ExchangeProgress, Lifecycle,
        keys::{self, Actions, Keys},
        options::LifecycleOptions,
        process_tree::ProcessTree,
        signals::Signals,
    },
    listen::{
        access_log::{AccessLog, format::Format},
        exit_tracker::ExitTracker,
        recorder::Recorder,
    },
    program::config::{self, Config, Mounted},
    server::{
        self, network,
        socket::{bind, listen, listen_beside, passed},
    },
    source::{
        build::Failure,
        build::options::{BuildOptions, Messages},
        filter::Layers,
        live::Live,
        load::Loader,
        python::Finder,
        watch::{self, Served, Watched},
    },
    viewer::{
        self,
        hub::{self, Subject},
    },
};

/// How long an immediate exit may take to write the log lines about cut exchanges.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a normal exit waits until captures are written.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until a signal or one of the [`LifecycleOptions`] stops the server.
///
/// # Errors
///
/// The address cannot be used, or a handler cannot be served; nothing has listened then. Or the server listens, but
/// cannot run the command of `--exec` or write the file of `--port-file`.
pub(crate) fn run(config: Config) -> Result<Exit, StartError> {
    // Must run before there are threads, because it changes the environment.
    let passed = passed(config.linger).or_exit(Exit::Address)?;
    server::make_room(config.connections);
    // Connections are served on other threads.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot create a tokio runtime")
        .or_exit(Exit::Failed)?;
    let log = AccessLog::spawn(config.access_log).context("cannot create the log's thread").or_exit(Exit::Failed)?;
    let log = Arc::new(log);
    let (events, progress) = listen_to_events(&config.lifecycle, Arc::clone(&log), config.capture.is_some());
    let capturing = Capturing::begin(&config, &events)?;
    // Reported before anything is bound or built.
    let allowances = check(&config.handlers, &events)?;
    // From here on, a signal that ends the server leaves neither processes nor files behind.
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new().context("cannot receive signals").or_exit(Exit::Failed)?
    };
    // Bound before compiling, which may take long, so that a wrong address is reported at once. It listens when all is
    // ready.
    let sockets = match &passed[..] {
        [_, ..] => {
            let what = if passed.len() == 1 { "socket that was" } else { "sockets that were" };
            events.notice(Level::Info, format!("using the {what} passed (LISTEN_FDS); --addr is ignored"));
            passed
        }
        [] => match runtime.block_on(signals.unless_stopped(bind(&config.addr, config.linger))) {
            Ok(bound) => bound.or_exit(Exit::Address)?,
            Err(exit) => return Ok(end_early(exit, runtime, &log)),
        },
    };
    let taken: Vec<u16> = sockets.iter().filter_map(|socket| Some(socket.local_addr().ok()?.port())).collect();
    let stats = config.stats.map(|at| listen_beside(at, &taken, "--stats")).transpose().or_exit(Exit::Address)?;
    let viewer =
        config.ui.as_ref().map(|options| viewer::Bound::new(options, &taken)).transpose().or_exit(Exit::Address)?;
    let engine = start_engine(&config, &events)?;
    let mut build = config.build;
    if config.access_log == Format::Json {
        build.messages = Messages::Log(Arc::clone(&events));
    }
    let bin = config.handlers.iter().find_map(|(_, mounted)| mounted.bin()).map(Arc::new);
    let mut loader = loader(&engine, config.component, build, &allowances);
    loader.written.extend(capturing.dir().and_then(|dir| dir.canonicalize().ok()));
    loader.bin = bin.clone().unwrap_or_default();
    let begun = SystemTime::now();
    let stats_port = stats.as_ref().and_then(|listener| Some(listener.local_addr().ok()?.port()));
    let closed: Vec<u16> = viewer.as_ref().map(viewer::Bound::port).into_iter().chain(stats_port).collect();
    let handlers = config.handlers.map(|mounted| mounted.without(&closed));
    let names: Vec<_> = handlers.iter().map(|(mount, mounted)| (mount.to_string(), mounted.title())).collect();
    let loading = async {
        let loaded = spawn_blocking(move || (load(&loader, handlers), loader)).await;
        loaded.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
    };
    let (loaded, loader) = match runtime.block_on(signals.unless_stopped(loading)) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(end_early(exit, runtime, &log)),
    };
    let (mounts, mut watched) = loaded?;
    let mut rebuild = None;
    let (replaced, are_replaced) = mpsc::unbounded_channel();
    if config.watch {
        // A handler must not change the source of another one either.
        let is_safe = |watched: &Watched| {
            allowances.iter().all(|allowance| is_safe_to_watch(watched, &allowance.grants, &events))
        };
        watched.retain(is_safe);
        let served = Served {
            mounts: Arc::clone(&mounts),
            shows_failures: config.gateway.debug,
            events: Arc::clone(&events),
            replaced,
        };
        if !watched.is_empty() {
            match watch::spawn(watched, loader, served, begun) {
                Ok(spawned) => rebuild = Some(spawned),
                Err(error) => events.notice(Level::Warning, format!("cannot watch handlers for changes: {error:#}")),
            }
        }
    }
    let exchanges = Exchanges::new(mounts, config.limits, config.concurrency, config.gateway, Arc::clone(&events));
    let exchanges = exchanges.at_most(config.lifecycle.exchanges.unwrap_or(u64::MAX)).captured(capturing.store.clone());
    let exchanges = Arc::new(exchanges);
    let why_not_on_save = match &rebuild {
        Some(_) => why_not_on_save(config.replays_on_save, &allowances),
        None => Some("no handler is watched for changes".into()),
    };
    let (replays, guests) = capturing.replays(&config.lifecycle, &events, why_not_on_save, are_replaced)?;
    runtime.spawn(engine.watch(Arc::clone(&events)));

    // Gives the terminal back when it is dropped.
    let mut keys = None;
    let mut viewing = None;
    let exit = runtime.block_on(async {
        let listeners = listen(sockets, &config.addr).or_exit(Exit::Address)?;
        let addrs: io::Result<Vec<SocketAddr>> = listeners.iter().map(TcpListener::local_addr).collect();
        let addrs = addrs.context("cannot get the listening address").or_exit(Exit::Failed)?;
        // The others have the same port, or were passed after it.
        let addr = addrs[0];
        if let Some(listener) = stats {
            metrics::serve(listener, &exchanges, &engine).or_exit(Exit::Failed)?;
        }
        let viewer_url = viewer.as_ref().map(viewer::Bound::url);
        if let (Some(bound), Some(Replays { store, replayer, saved })) = (viewer, replays) {
            let (exchanges, url, archive) = (Arc::clone(&exchanges), lifecycle::url(addr), capturing.archive.clone());
            let redaction = config.redaction;
            let server = hub::Server { archive, exchanges, url, bin, replayer, saved };
            let subject = Subject { store, redaction, source: hub::Source::Server(Box::new(server)) };
            viewing = Some(bound.serve(subject).context("cannot start the viewer's thread").or_exit(Exit::Failed)?);
        }
        if let Some(dir) = capturing.dir() {
            let dir = dir.display();
            let line = format!("capturing every exchange to `{dir}`, secrets included; only you can read the files");
            events.notice(Level::Status, line);
        }
        config.grants.into_iter().for_each(|grant| events.notice(Level::Status, grant));
        let has_command = config.lifecycle.exec.is_some();
        let is_for_people = matches!(config.access_log, Format::Terminal { .. });
        // With --exec, the terminal is the command's.
        let has_keys = is_for_people && !has_command && keys::are_available();
        let listening = Listening {
            network: network::urls(&addrs),
            addrs,
            local: lifecycle::url(addr),
            viewer: viewer_url,
            handlers: names,
            limits: config.limits_given,
            qr: config.qr,
            keys: if has_keys { keys::SHORT } else { "" },
        };
        if let Some(why) = listening.why_no_qr(is_for_people) {
            events.notice(Level::Warning, why);
        }
        let exchanges_too = Arc::clone(&exchanges);
        let mut lifecycle = Lifecycle::begin(config.lifecycle, config.drain, addr, exchanges_too, progress, signals)
            .or_exit(Exit::Failed)?;
        // Before the line that names them, so that no key is echoed.
        if has_keys {
            let log = Arc::clone(&log);
            let clear = Box::new(move || log.clear());
            match Keys::read(Actions { listening: listening.clone(), events: Arc::clone(&events), rebuild, clear }) {
                Ok(read) => keys = Some(read),
                Err(error) => events.notice(Level::Warning, format!("cannot read keys from the terminal: {error}")),
            }
        }
        events.emit(&Event::Listening(&listening));
        if config.is_narrowed {
            events.notice(Level::Info, config::narrowed(addr.port()));
        }
        if has_command {
            log.flush();
        }
        lifecycle.launch(addr).or_exit(Exit::Failed)?;
        let served = server::run(listeners, guests, exchanges, config.connections, lifecycle.shutdown()).await;
        served.context("cannot create the threads for connections").or_exit(Exit::Failed)?;
        Ok(lifecycle.end().await)
    });
    _ = keys.take();
    if let Some(viewer) = viewing {
        viewer.end();
    }
    if let Ok(Exit::Interrupted) = exit {
        // Does not wait for handlers, and only briefly for captures and the log.
        capturing.end(FLUSH_TIMEOUT);
        log.flush_within(FLUSH_TIMEOUT);
        ProcessTree::below_us().terminate();
        process::exit(Exit::Interrupted.code().into());
    }
    // Does not wait long for blocking calls of handlers, for example on a file system that does not respond.
    runtime.shutdown_timeout(Duration::from_millis(100));
    capturing.end(ARCHIVE_TIMEOUT);
    log.flush();
    // A build may be running, whose result nothing needs any more.
    ProcessTree::below_us().terminate();
    exit
}

/// Ends a server that a signal has stopped before it listened. Does not wait for blocking work.
fn end_early(exit: Exit, runtime: Runtime, log: &AccessLog) -> Exit {
    runtime.shutdown_background();
    log.flush();
    exit
}

/// Creates the event listeners, and the progress of exchanges if the lifecycle depends on it.
fn listen_to_events(
    lifecycle: &LifecycleOptions,
    log: Arc<AccessLog>,
    captures: bool,
) -> (Arc<Events>, ExchangeProgress) {
    let mut listeners: Vec<Arc<dyn Listener>> = vec![log];
    if captures {
        listeners.push(Arc::new(Recorder));
    }
    let mut exchange_progress = None;
    if lifecycle.exchanges.is_some() || lifecycle.idle.is_some() {
        let (tracker, progress) = ExitTracker::new(lifecycle.exchanges.unwrap_or(u64::MAX));
        // Before the log, so that the progress is up to date when a line about an exchange appears.
        listeners.insert(0, Arc::new(tracker));
        exchange_progress = Some(progress);
    }
    (Arc::new(Events::new(listeners)), exchange_progress)
}

/// Checks the handlers as far as that is possible without building them, and returns what they may use and access.
pub(super) fn check(handlers: &Mounts<Mounted>, events: &Events) -> Result<Vec<Arc<Allowance>>, StartError> {
    let allowances: Vec<Arc<Allowance>> = handlers.iter().map(|(_, mounted)| Arc::clone(&mounted.allowance)).collect();
    allowances.iter().try_for_each(|allowance| check_grants(&allowance.grants))?;
    for (_, mounted) in handlers.iter() {
        let source = Layers::new(mounted.named.clone(), &mounted.filters);
        source.check().or_exit(Exit::Handler)?;
        if let Some(doubt) = source.doubt() {
            events.notice(Level::Info, doubt);
        }
    }
    Ok(allowances)
}

/// Creates the loader of handlers that together have these allowances.
pub(super) fn loader(engine: &Arc<Engine>, size: u64, build: BuildOptions, allowances: &[Arc<Allowance>]) -> Loader {
    let dirs = allowances.iter().flat_map(|allowance| &allowance.grants.dirs).filter(|dir| !dir.read_only);
    Loader {
        engine: Arc::clone(engine),
        size,
        build,
        finder: Finder::default(),
        interpreter: Interpreter::default(),
        written: dirs.filter_map(|dir| dir.host.canonicalize().ok()).collect(),
        bin: Arc::default(),
        changes: Arc::new(Changes::new()),
    }
}

/// Checks that no handler can write into the cache directory, which contains code that runs outside of the sandbox.
fn check_grants(grants: &Grants) -> Result<(), StartError> {
    let Some((dir, cache)) = dirs::is_open_to(grants) else { return Ok(()) };
    let cache = cache.display();
    Err(anyhow!(
        "--dir {dir} would let a handler write to `{cache}`, and thereby run code outside of the sandbox; add :ro, grant \
         another directory, or set XDG_CACHE_HOME to a directory outside of it"
    ))
    .or_exit(Exit::Usage)
}

pub(super) fn start_engine(config: &Config, events: &Arc<Events>) -> Result<Arc<Engine>, StartError> {
    let engine = Engine::with_compiler(&config.engine_limits, config.compile.clone(), Arc::clone(events));
    let (engine, warning) = engine.or_exit(Exit::Failed)?;
    if let Some(warning) = warning {
        events.notice(Level::Warning, format!("{warning:#}"));
    }
    if config.gateway.debug {
        events.notice(Level::Debug, engine.wiping());
    }
    Ok(engine)
}

/// Loads all handlers. Returns their mounts, and the handlers to watch for changes.
pub(super) fn load(
    loader: &Loader,
    handlers: Mounts<Mounted>,
) -> Result<(Arc<Mounts<Live>>, Vec<Watched>), StartError> {
    let mut watched = Vec::new();
    let mounts = handlers.try_map(|mount, mounted| {
        let title = mounted.title();
        let Mounted { named, filters, allowance, files } = mounted;
        let source = Layers::new(named, &filters);
        let (handler, material) = loader.load(&source, &allowance, &files)?;
        if let Some(material) = material
            && source.is_outside()
        {
            watched.push(Watched::new(mount.clone(), source, &material));
        }
        Ok(Live::new(handler, title))
    });
    let mounts = mounts.map_err(|Failure { line, .. }| StartError::new(Exit::Handler, &line))?;
    Ok((Arc::new(mounts), watched))
}

/// Whether a handler may be watched: not if it can change its own source.
fn is_safe_to_watch(watched: &Watched, grants: &Grants, events: &Events) -> bool {
    let Some(dir) = watched.is_open_to(grants) else { return true };
    let text = format!("--dir {dir} lets a handler change its own source, so it is not rebuilt on changes; add :ro");
    events.notice(Level::Warning, text);
    false
}
