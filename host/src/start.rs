//! From a checked configuration to a server that runs, and to its end.

use std::{
    io::{self, Write as _},
    process,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use tokio::{net::TcpListener, runtime::Builder};

use crate::{
    build::Failure,
    config::{Config, Task},
    connection, dump,
    exchange::Exchanges,
    exit::{Exit, StartError},
    handler::{self, Engine},
    inspect,
    life::{self, Life},
    log::Log,
    record::{Event, Record},
    server,
    socket::{bind, listen, passed},
    source::{self, Loader, Source},
    stats::Stats,
    template,
    watch::{self, Watched},
};

/// How long the end may take for the lines about exchanges that were cut, if it is to come at once.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Does what the program was called for.
///
/// # Errors
///
/// See [`serve`], [`handler::compile_only`] and [`source::build`].
pub fn run(task: Task) -> Result<Exit, StartError> {
    match task {
        Task::Serve(config) => serve(*config),
        Task::Compile(compile) => handler::compile_only(&compile),
        Task::New(new) => said(template::new(&new)),
        Task::Eject(example) => said(template::eject(example)),
        Task::Inspect(inspect) => inspect::run(&inspect),
        Task::Dump(dump) => dump::run(&dump),
        Task::Build(making) => source::build(making),
    }
}

/// Tells on stdout what has come of something.
fn said(text: anyhow::Result<String>) -> Result<Exit, StartError> {
    let text = text.map_err(|error| StartError::new(Exit::Failed, &error))?;
    // If nobody reads it, it was done all the same.
    _ = io::stdout().write_all(text.as_bytes());
    Ok(Exit::Done)
}

/// Serves until its life is over: see [`config::Life`](crate::config::Life), and SIGINT or SIGTERM.
///
/// # Errors
///
/// The address cannot be used, or the handler cannot be served. Nothing has listened then. Or it listens, and what is to
/// begin with it cannot: `--exec`, `--port-file`.
pub fn serve(config: Config) -> Result<Exit, StartError> {
    let failed = |exit| move |error: anyhow::Error| StartError::new(exit, &error);
    // Before there are threads, as it changes the environment.
    let passed = passed(config.linger).map_err(failed(Exit::Address))?;
    server::make_room(config.connections);
    // Connections have threads of their own.
    let runtime =
        Builder::new_current_thread().enable_all().build().context("no runtime").map_err(failed(Exit::Failed))?;
    let log = Arc::new(Log::spawn(config.access_log).context("no thread for the log").map_err(failed(Exit::Failed))?);
    let record: Record = Arc::clone(&log) as _;
    // If nobody reads it, serving goes on.
    let say = |line: String| record.tell(Event::Server { line });

    if let Some((dir, cache)) = handler::is_open_to(&config.grants) {
        let cache = cache.display();
        return Err(failed(Exit::Usage)(anyhow!(
            "with --dir {dir} a handler could write into `{cache}`, and so get code run outside of the sandbox; add :ro, grant a \
             directory that does not have it, or set XDG_CACHE_HOME to another one"
        )));
    }
    // The socket is bound first, as that is quick and compiling may not be; it listens when all is ready.
    let socket = match passed {
        Some(socket) => {
            say("wasmserve: the socket is the one that was passed (LISTEN_FDS); --addr is not used".to_owned());
            socket
        }
        None => runtime.block_on(bind(&config.addr, config.linger)).map_err(failed(Exit::Address))?,
    };
    let (engine, warning) =
        Engine::with_compiler(&config.room, config.compile, Arc::clone(&record)).map_err(failed(Exit::Failed))?;
    if let Some(warning) = warning {
        say(format!("wasmserve: warning: {warning:#}"));
    }
    if config.gateway.debug {
        say(format!("wasmserve: debug: {}", engine.wiping()));
    }
    let loader = Loader {
        engine: Arc::clone(&engine),
        size: config.component,
        limits: config.limits.clone(),
        grants: config.grants.clone(),
        build: config.build,
    };
    let mut watched = Vec::new();
    let handlers = config.handlers.try_map(|mount, source| {
        let source = Source::new(source);
        let component = loader.component(&source)?;
        let handler = loader.handler(&source, &component)?;
        if source.is_outside() {
            watched.push(Watched::new(mount.clone(), source, &component));
        }
        Ok(handler)
    });
    let handlers = handlers.map_err(|Failure { line, .. }| StartError::new(Exit::Handler, &line))?;
    let (record_of_all, hearing) = life::listen(&config.life, Arc::clone(&record));
    let exchanges = Exchanges::new(handlers, config.limits, config.crowd, config.gateway, record_of_all);
    let exchanges = Arc::new(exchanges.at_most(config.life.exchanges.unwrap_or(u64::MAX)));
    watched.retain(|watched| {
        let dir = watched.is_open_to(&config.grants).filter(|_| config.watch);
        if let Some(dir) = dir {
            say(format!(
                "wasmserve: warning: with --dir {dir} a handler can write into its own source, so it is not built anew; add :ro"
            ));
        }
        dir.is_none()
    });
    if config.watch
        && !watched.is_empty()
        && let Err(error) = watch::spawn(watched, loader, Arc::clone(&exchanges))
    {
        say(format!("wasmserve: warning: changes of handlers are not noticed: {error:#}"));
    }
    runtime.spawn(engine.watch(Arc::clone(&record)));

    let exit = runtime.block_on(async {
        let listener = listen(socket, &config.addr).map_err(failed(Exit::Address))?;
        let addr = listener.local_addr().context("no address").map_err(failed(Exit::Failed))?;
        if let Some(at) = config.stats {
            let bound = TcpListener::bind(at).await.with_context(|| format!("cannot listen on `{at}` for --stats"));
            let listener = bound.map_err(failed(Exit::Address))?;
            let stats = Stats::new(Arc::clone(&exchanges), Arc::clone(&engine));
            say(format!("statistics on http://{}/metrics", listener.local_addr().unwrap_or(at)));
            tokio::spawn(connection::stats::serve(listener, Arc::new(stats)));
        }
        config.grants.to_string().lines().for_each(|grant| say(grant.to_owned()));
        let has_command = config.life.exec.is_some();
        let mut life =
            Life::begin(config.life, config.drain, addr, Arc::clone(&exchanges), Arc::clone(&record), hearing)
                .map_err(failed(Exit::Failed))?;
        say(format!("listening on http://{addr}"));
        if has_command {
            log.flush();
        }
        life.launch(addr).map_err(failed(Exit::Failed))?;
        server::run(listener, exchanges, config.connections, life.shutdown())
            .await
            .context("no threads for connections")
            .map_err(failed(Exit::Failed))?;
        Ok(life.end().await)
    });
    if let Ok(Exit::Interrupted) = exit {
        // No handler is waited for, and whoever reads the log only until it tells what was cut.
        log.flush_within(LAST_WORDS);
        process::exit(Exit::Interrupted.code().into());
    }
    // What handlers still do (a file system that does not answer, say) is no reason to stay.
    runtime.shutdown_timeout(Duration::from_millis(100));
    log.flush();
    exit
}
