//! Watches handlers' files and sources, and replaces a handler when they change.
//!
//! Directories are watched, not files, because editors write a new file and rename it to the old name. A burst of
//! changes counts as one. Changes during a build wait in a queue, and the handler is built again afterwards, unless its
//! files have the same digest as when the build started: some editors save a file in several steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use sha2::{Digest as _, Sha256};
use wasmserve_gateway::mounts::{Mount, Mounts};

use super::{
    build::Failure,
    live::Live,
    load::{Component, Loader},
    locate::Source,
    scope::Scope,
};
use crate::{
    base::grants::{Dir, Grants},
    event::{Events, notice::Level},
};

/// How long no event must arrive until a burst of changes counts as complete.
const QUIET: Duration = Duration::from_millis(30);

/// How long a burst may last.
const BURST_MAX: Duration = Duration::from_millis(500);

/// How often missing directories are looked for.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How many changes may wait in the queue. Beyond this, all handlers are checked.
const CHANGES_MAX: usize = 1000;

/// A handler to watch.
pub(crate) struct Watched {
    mount: Mount,
    source: Source,
    scope: Scope,
    /// The digest of the component that is being served.
    digest: [u8; 32],
    is_broken: bool,
}

impl Watched {
    /// Creates the entry of the handler at `mount`, made from this component of this source.
    #[must_use]
    pub(crate) fn new(mount: Mount, source: Source, component: &Component) -> Self {
        Self { mount, source, scope: component.scope.clone(), digest: digest(component), is_broken: false }
    }

    /// The granted directory through which the handler could change its own source, if there is one. Building runs with
    /// all the user's rights, so the handler would gain them.
    #[must_use]
    pub(crate) fn is_open_to<'a>(&self, grants: &'a Grants) -> Option<&'a Dir> {
        let is_open = |dir: &&Dir| {
            let Ok(host) = dir.host.canonicalize() else { return false };
            self.scope.directories().any(|(path, is_deep)| {
                let Ok(path) = path.canonicalize() else { return false };
                path.starts_with(&host) || is_deep && host.starts_with(&path)
            })
        };
        grants.dirs.iter().filter(|dir| self.source.is_built() && !dir.read_only).find(is_open)
    }
}

fn digest(component: &Component) -> [u8; 32] {
    Sha256::digest(&component.bytes).into()
}

/// Watches these handlers until the process exits, on a thread that also builds and compiles them.
///
/// # Errors
///
/// The system cannot create another thread, or cannot watch a directory.
pub(crate) fn spawn(watched: Vec<Watched>, loader: Loader, served: Served) -> anyhow::Result<()> {
    let (sender, changes) = mpsc::sync_channel(CHANGES_MAX);
    let has_lost = Arc::<AtomicBool>::default();
    let watcher = notify::recommended_watcher({
        let has_lost = Arc::clone(&has_lost);
        move |event: notify::Result<notify::Event>| match event {
            Ok(event) if !event.need_rescan() && !is_change(event.kind) => {}
            Ok(event) if !event.need_rescan() && sender.try_send(event.clone()).is_ok() => {}
            _ => {
                has_lost.store(true, Ordering::Relaxed);
                // Wakes the watching thread; if the queue is full, that thread is awake already.
                _ = sender.try_send(notify::Event::default());
            }
        }
    })?;
    let mut watch = Watch { watched, loader, served, watcher, directories: BTreeMap::new(), changes, has_lost };
    watch.find_directories();
    watch.watch_directories()?;
    thread::Builder::new().name("watch".into()).spawn(move || watch.run())?;
    Ok(())
}

/// Whether an event is more than a read access.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// The mounts whose handlers are replaced, and where to report that.
pub(crate) struct Served {
    /// The mounts.
    pub mounts: Arc<Mounts<Live>>,
    /// Whether clients see why a handler does not build (`--debug`).
    pub shows_failures: bool,
    /// The events to emit notices to.
    pub events: Arc<Events>,
}

struct Watch {
    watched: Vec<Watched>,
    loader: Loader,
    served: Served,
    watcher: RecommendedWatcher,
    /// The directories of the handlers and their sources.
    directories: BTreeMap<PathBuf, Directory>,
    changes: Receiver<notify::Event>,
    /// Whether changes were lost because the queue was full.
    has_lost: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug)]
struct Directory {
    /// Whether its subdirectories count too.
    is_deep: bool,
    /// Whether it is being watched; false while it does not exist.
    is_watched: bool,
}

impl Watch {
    fn run(&mut self) {
        // Sources may have changed since the handlers were loaded at startup.
        let mut changed = Some((0..self.watched.len()).collect::<BTreeSet<usize>>());
        while let Some(at_once) = changed.take() {
            let made: BTreeMap<usize, [u8; 32]> =
                at_once.iter().map(|at| (*at, self.watched[*at].scope.digest())).collect();
            for at in at_once {
                if let Some((level, text)) = self.renew(at) {
                    self.served.events.notice(level, text);
                }
            }
            self.find_directories();
            // Directories that cannot be watched now are tried again later.
            _ = self.watch_directories();
            changed = self.next(&made);
        }
    }

    /// Waits until handlers have changed and the burst is over. Returns `None` when no more changes can come. `made`
    /// has the source digests of the handlers that were just loaded.
    fn next(&mut self, made: &BTreeMap<usize, [u8; 32]>) -> Option<BTreeSet<usize>> {
        let mut changed = BTreeSet::new();
        while let Ok(event) = self.changes.try_recv() {
            self.note(&event, &mut changed);
        }
        changed.retain(|at| made.get(at).is_none_or(|digest| *digest != self.watched[*at].scope.digest()));
        let mut begun = None;
        loop {
            if self.has_lost.swap(false, Ordering::Relaxed) {
                changed.extend(0..self.watched.len());
            }
            let is_absent = self.directories.values().any(|directory| !directory.is_watched);
            let timeout = match (changed.is_empty(), is_absent) {
                (false, _) => QUIET,
                (true, true) => RETRY_INTERVAL,
                (true, false) => Duration::MAX,
            };
            match self.changes.recv_timeout(timeout) {
                Ok(event) => self.note(&event, &mut changed),
                Err(RecvTimeoutError::Timeout) if !changed.is_empty() => return Some(changed),
                Err(RecvTimeoutError::Timeout) => {
                    // All files in a directory that has reappeared are new.
                    if self.watch_directories().is_ok_and(|are_more| are_more) {
                        changed.extend(0..self.watched.len());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            if !changed.is_empty() && begun.get_or_insert_with(Instant::now).elapsed() >= BURST_MAX {
                return Some(changed);
            }
        }
    }

    /// Adds the handlers that an event concerns to `changed`.
    fn note(&mut self, event: &notify::Event, changed: &mut BTreeSet<usize>) {
        for path in &event.paths {
            changed.extend((0..self.watched.len()).filter(|at| self.watched[*at].scope.covers(path)));
            if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
                && let Some(directory) = self.directories.get_mut(path)
            {
                directory.is_watched = false;
                // Fails if the system has already stopped watching it.
                _ = self.watcher.unwatch(path);
            }
        }
    }

    /// Loads a handler and replaces the served one if it differs. Returns a notice about the result, if there is one.
    fn renew(&mut self, at: usize) -> Option<(Level, String)> {
        let begun = Instant::now();
        let Self { watched, loader, served, .. } = self;
        let Watched { mount, source, scope, digest, is_broken } = &mut watched[at];
        let (_, live) = served.mounts.iter().find(|(other, _)| other == mount)?;
        let made = loader.component(source).and_then(|component| {
            let is_new = self::digest(&component) != *digest;
            let handler = if is_new { Some(loader.handler(source, &component)?) } else { None };
            Ok((component, handler))
        });
        match made {
            Ok((component, Some(handler))) => {
                live.replace(handler);
                (*scope, *digest, *is_broken) = (component.scope.clone(), self::digest(&component), false);
                Some((
                    Level::Info,
                    format!("serving the new version of {source} ({:.2} s)", begun.elapsed().as_secs_f32()),
                ))
            }
            Ok((component, None)) => {
                *scope = component.scope;
                live.mend();
                mem::take(is_broken).then(|| (Level::Info, format!("{source} is back to the version being served")))
            }
            Err(Failure { line, output }) => {
                *is_broken = true;
                let line = format!("{line:#}");
                if served.shows_failures {
                    live.set_broken(if output.is_empty() { line.clone() } else { output });
                }
                Some((Level::Error, format!("{line}; still serving the previous version")))
            }
        }
    }

    /// Records the directories of all scopes.
    fn find_directories(&mut self) {
        for (path, is_deep) in self.watched.iter().flat_map(|watched| watched.scope.directories()) {
            self.directories.entry(path.to_owned()).or_insert(Directory { is_deep, is_watched: false });
        }
    }

    /// Watches all directories that exist and are not yet watched. Returns whether there were any.
    ///
    /// # Errors
    ///
    /// The system cannot watch one of them.
    fn watch_directories(&mut self) -> notify::Result<bool> {
        let mut are_more = false;
        for (path, directory) in self.directories.iter_mut().filter(|(path, it)| !it.is_watched && path.is_dir()) {
            let mode = if directory.is_deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            self.watcher.watch(path, mode)?;
            (directory.is_watched, are_more) = (true, true);
        }
        Ok(are_more)
    }
}
