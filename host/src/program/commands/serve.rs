//! `wasmserve HANDLER`: from a checked configuration to a server that runs, and to its end.

use std::{net::SocketAddr, process, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio::{net::TcpListener, runtime::Builder};
use wasmserve_gateway::mounts::Mounts;

use crate::{
    base::{
        dirs,
        exit::{Exit, OrExit as _, StartError},
        grants::Grants,
    },
    event::{Events, Listener, notice::Level},
    exchange::Exchanges,
    kind::wasm::engine::{Engine, Pool},
    lifecycle::{Ends, Lifecycle, options::LifeOptions},
    listen::{
        access_log::AccessLog,
        exit_tracker::ExitTracker,
        metrics::{Gauge, Metrics},
    },
    program::config::Config,
    server::{
        self,
        socket::{bind, listen, passed},
    },
    source::{
        build::Failure,
        live::Live,
        load::Loader,
        locate::{Named, Source},
        watch::{self, Served, Watched},
    },
    transport,
};

/// How long the end may take for the lines about exchanges that were cut, if it is to come at once.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Serves until its life is over: see [`LifeOptions`], and SIGINT or SIGTERM.
///
/// # Errors
///
/// The address cannot be used, or the handler cannot be served. Nothing has listened then. Or it listens, and what is to
/// begin with it cannot: `--exec`, `--port-file`.
pub(crate) fn run(config: Config) -> Result<Exit, StartError> {
    // Before there are threads, as it changes the environment.
    let passed = passed(config.linger).or_exit(Exit::Address)?;
    server::make_room(config.connections);
    // Connections have threads of their own.
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime").or_exit(Exit::Failed)?;
    let log = AccessLog::spawn(config.access_log).context("no thread for the log").or_exit(Exit::Failed)?;
    let log = Arc::new(log);
    let (events, ends) = listen_to_events(&config.life, Arc::clone(&log));

    check_grants(&config.grants)?;
    // The socket is bound first, as that is quick and compiling may not be; it listens when all is ready.
    let socket = match passed {
        Some(socket) => {
            events.notice(Level::Info, "the socket is the one that was passed (LISTEN_FDS); --addr is not used");
            socket
        }
        None => runtime.block_on(bind(&config.addr, config.linger)).or_exit(Exit::Address)?,
    };
    let engine = start_engine(&config, &events)?;
    let loader = Loader {
        engine: Arc::clone(&engine),
        size: config.component,
        limits: config.limits.clone(),
        grants: config.grants.clone(),
        build: config.build,
    };
    let (mounts, mut watched) = load(&loader, config.handlers)?;
    if config.watch {
        watched.retain(|watched| is_safe_to_watch(watched, &config.grants, &events));
        let served =
            Served { mounts: Arc::clone(&mounts), shows_failures: config.gateway.debug, events: Arc::clone(&events) };
        if !watched.is_empty()
            && let Err(error) = watch::spawn(watched, loader, served)
        {
            events.notice(Level::Warning, format!("changes of handlers are not noticed: {error:#}"));
        }
    }
    let exchanges = Exchanges::new(mounts, config.limits, config.concurrency, config.gateway, Arc::clone(&events));
    let exchanges = Arc::new(exchanges.at_most(config.life.exchanges.unwrap_or(u64::MAX)));
    runtime.spawn(engine.watch(Arc::clone(&events)));

    let exit = runtime.block_on(async {
        let listener = listen(socket, &config.addr).or_exit(Exit::Address)?;
        let addr = listener.local_addr().context("no address").or_exit(Exit::Failed)?;
        if let Some(at) = config.stats {
            serve_metrics(at, &exchanges, &engine).await.or_exit(Exit::Address)?;
        }
        config.grants.to_string().lines().for_each(|grant| events.notice(Level::Status, grant));
        let has_command = config.life.exec.is_some();
        let mut lifecycle =
            Lifecycle::begin(config.life, config.drain, addr, Arc::clone(&exchanges), ends).or_exit(Exit::Failed)?;
        events.notice(Level::Status, format!("listening on http://{addr}"));
        if has_command {
            log.flush();
        }
        lifecycle.launch(addr).or_exit(Exit::Failed)?;
        let served = server::run(listener, exchanges, config.connections, lifecycle.shutdown()).await;
        served.context("no threads for connections").or_exit(Exit::Failed)?;
        Ok(lifecycle.end().await)
    });
    if let Ok(Exit::Interrupted) = exit {
        // No handler is waited for, and the reader of the log only until it has what was cut.
        log.flush_within(LAST_WORDS);
        process::exit(Exit::Interrupted.code().into());
    }
    // What handlers still do (a file system that does not answer, say) is no reason to stay.
    runtime.shutdown_timeout(Duration::from_millis(100));
    log.flush();
    exit
}

/// All that listens to events; and the ends of exchanges, if the server's life depends on them.
fn listen_to_events(life: &LifeOptions, log: Arc<AccessLog>) -> (Arc<Events>, Ends) {
    let mut listeners: Vec<Arc<dyn Listener>> = vec![log];
    let mut ends = None;
    if life.exchanges.is_some() || life.idle.is_some() {
        let (tracker, progress) = ExitTracker::new(life.exchanges.unwrap_or(u64::MAX));
        // Before the log: a client that sees a line in it may count on what follows from the end.
        listeners.insert(0, Arc::new(tracker));
        ends = Some(progress);
    }
    (Arc::new(Events::new(listeners)), ends)
}

/// Refuses to let a handler write where what is run outside of the sandbox is kept.
fn check_grants(grants: &Grants) -> Result<(), StartError> {
    let Some((dir, cache)) = dirs::is_open_to(grants) else { return Ok(()) };
    let cache = cache.display();
    Err(anyhow!(
        "with --dir {dir} a handler could write into `{cache}`, and so get code run outside of the sandbox; add :ro, grant a \
         directory that does not have it, or set XDG_CACHE_HOME to another one"
    ))
    .or_exit(Exit::Usage)
}

fn start_engine(config: &Config, events: &Arc<Events>) -> Result<Arc<Engine>, StartError> {
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

/// Loads all handlers: what is served where, and what is to be watched for changes.
fn load(loader: &Loader, handlers: Mounts<Named>) -> Result<(Arc<Mounts<Live>>, Vec<Watched>), StartError> {
    let mut watched = Vec::new();
    let mounts = handlers.try_map(|mount, named| {
        let source = Source::new(named);
        let component = loader.component(&source)?;
        let handler = loader.handler(&source, &component)?;
        if source.is_outside() {
            watched.push(Watched::new(mount.clone(), source, &component));
        }
        Ok(Live::new(handler))
    });
    let mounts = mounts.map_err(|Failure { line, .. }| StartError::new(Exit::Handler, &line))?;
    Ok((Arc::new(mounts), watched))
}

/// Whether a handler cannot change the source that it is built from.
fn is_safe_to_watch(watched: &Watched, grants: &Grants, events: &Events) -> bool {
    let Some(dir) = watched.is_open_to(grants) else { return true };
    let text = format!("with --dir {dir} a handler can write into its own source, so it is not built anew; add :ro");
    events.notice(Level::Warning, text);
    false
}

/// Serves the metrics at an address of their own.
async fn serve_metrics(at: SocketAddr, exchanges: &Arc<Exchanges>, engine: &Arc<Engine>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(at).await.with_context(|| format!("cannot listen on `{at}` for --stats"))?;
    let events = exchanges.events();
    events.notice(Level::Status, format!("statistics on http://{}/metrics", listener.local_addr().unwrap_or(at)));
    let metrics = Metrics::new(Arc::clone(events), gauges(exchanges, engine));
    tokio::spawn(transport::admin::serve(listener, Arc::new(metrics)));
    Ok(())
}

fn gauges(exchanges: &Arc<Exchanges>, engine: &Arc<Engine>) -> Vec<Gauge> {
    let of_pool = |name, help, read: fn(Pool) -> u64| {
        let engine = Arc::clone(engine);
        Gauge { name, help, read: Box::new(move || read(engine.pool())) }
    };
    let exchanges = Arc::clone(exchanges);
    let running = Box::new(move || exchanges.running() as u64);
    vec![
        Gauge { name: "instances_live", help: "Handlers that run", read: running },
        of_pool("pool_instances", "Component instances in the pool that are in use", |pool| pool.instances),
        of_pool("pool_memories", "Memories in the pool that are in use", |pool| pool.memories),
        of_pool("pool_tables", "Tables in the pool that are in use", |pool| pool.tables),
        of_pool("pool_stacks", "Stacks in the pool that are in use", |pool| pool.stacks),
    ]
}
