//! What is captured while the server runs: the store, its files, and the replays of both.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio::sync::mpsc;
use wasmserve_gateway::mounts::Mounts;

use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        grants::Allowance,
    },
    capture::{
        archive::Archive,
        store::{Sink, Store},
    },
    event::{Events, notice::Level},
    lifecycle::options::LifecycleOptions,
    program::config::{Config, Mounted},
    replay::{
        arrivals::Arrivals,
        replayer::Replayer,
        saved::{self, Saved},
    },
    server::guest::Guest,
    source::locate::Source,
};

/// How long the end may wait for recordings that something still holds.
const RECORDINGS_TIMEOUT: Duration = Duration::from_millis(500);

/// Where exchanges are captured to, if they are.
pub(super) struct Capturing {
    pub store: Option<Arc<Store>>,
    pub archive: Option<Arc<Archive>>,
    arrivals: Arc<Arrivals>,
}

/// What replays the exchanges of a store.
pub(super) struct Replays {
    pub store: Arc<Store>,
    pub replayer: Replayer,
    pub saved: Saved,
}

impl Capturing {
    /// Begins to capture, as configured.
    ///
    /// # Errors
    ///
    /// The directory for captures cannot be used, or a handler could read it. The system cannot create another thread.
    pub(super) fn begin(config: &Config, events: &Arc<Events>) -> Result<Self, StartError> {
        let archive = config.archive.clone().map(|options| {
            let events = Arc::clone(events);
            Archive::spawn(options, move |line| events.notice(Level::Warning, line))
        });
        let archive = archive.transpose().or_exit(Exit::Failed)?;
        if let Some(archive) = &archive {
            check(archive.dir(), &config.handlers)?;
        }
        let arrivals = Arc::<Arrivals>::default();
        let mut sinks: Vec<Arc<dyn Sink>> = vec![Arc::clone(&arrivals) as _];
        sinks.extend(archive.iter().map(|archive| Arc::clone(archive) as _));
        let store = config.capture.map(|options| Store::spawn(options, sinks)).transpose();
        let store = store.context("cannot create the thread for captures").or_exit(Exit::Failed)?;
        if let (Some(archive), Some(store)) = (&archive, &store) {
            archive.restore(store);
        }
        Ok(Self { store, archive, arrivals })
    }

    /// The directory for captures.
    pub(super) fn dir(&self) -> Option<&Path> {
        self.archive.as_ref().map(|archive| archive.dir())
    }

    /// What replays the exchanges, if any are captured, and the guests that the server takes from it. Kept exchanges are
    /// replayed whenever the mount of a replaced handler comes from `replaced`, unless there is a reason not to.
    ///
    /// # Errors
    ///
    /// The system cannot create another thread.
    pub(super) fn replays(
        &self,
        lifecycle: &LifecycleOptions,
        events: &Arc<Events>,
        why_not_on_save: Option<String>,
        replaced: mpsc::UnboundedReceiver<String>,
    ) -> Result<(Option<Replays>, mpsc::Receiver<Guest>), StartError> {
        let Some(store) = self.store.clone() else { return Ok((None, mpsc::channel(1).1)) };
        let counts = "with --once and --requests, only requests of clients count";
        let why_not = lifecycle.exchanges.map(|_| counts.to_owned());
        let (replayer, guests) = Replayer::new(Arc::clone(&store), Arc::clone(&self.arrivals), why_not, true);
        let saved = saved::spawn(replayer.clone(), Arc::clone(&store), Arc::clone(events), why_not_on_save, replaced);
        let saved = saved.context("cannot create the thread for replays").or_exit(Exit::Failed)?;
        Ok((Some(Replays { store, replayer, saved }), guests))
    }

    /// Writes what has been captured, which may take this long.
    pub(super) fn end(&self, timeout: Duration) {
        self.store.iter().for_each(|store| store.end(timeout.min(RECORDINGS_TIMEOUT)));
        self.archive.iter().for_each(|archive| archive.end(timeout));
    }
}

/// Why requests are not replayed whenever a handler is replaced: what they did once, they would do again.
pub(super) fn why_not_on_save(is_wanted: bool, allowances: &[Arc<Allowance>]) -> Option<String> {
    if !is_wanted {
        return Some("--no-replay-on-save was given".into());
    }
    let grants = || allowances.iter().map(|allowance| &allowance.grants);
    if grants().any(|grants| !grants.net.is_empty()) {
        return Some("handlers may send requests of their own (--allow-net)".into());
    }
    let dir = grants().flat_map(|grants| &grants.dirs).find(|dir| !dir.read_only)?;
    Some(format!("handlers may write to `{}` (--dir); add :ro", dir.host.display()))
}

/// Checks that no handler gives access to captures, which contain the secrets of all clients.
fn check(dir: &Path, handlers: &Mounts<Mounted>) -> Result<(), StartError> {
    let Ok(captures) = dir.canonicalize() else { return Ok(()) };
    let is_inside = |path: &Path| path.canonicalize().is_ok_and(|path| captures.starts_with(path));
    let shown = dir.display();
    for (_, mounted) in handlers.iter() {
        let source = Source::new(mounted.named.clone());
        let granted = mounted.allowance.grants.dirs.iter().find(|granted| is_inside(&granted.host));
        let why = if let Some(granted) = granted {
            format!("--dir {granted} would let a handler read")
        } else if source.is_directory() && is_inside(source.path()) {
            format!("`{}` is served, and with it", source.path().display())
        } else {
            continue;
        };
        let why = anyhow!(
            "{why} `{shown}`, where captures with the secrets of all clients are; give --capture another directory"
        );
        return Err(StartError::new(Exit::Usage, &why));
    }
    Ok(())
}
