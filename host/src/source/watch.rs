//! Watches handlers' files and sources, and replaces a handler when they change.
//!
//! Directories are watched, not files, because editors write a new file and rename it to the old name. An event only
//! says when to look: what counts is whether the contents of files differ from those that the newest version was made
//! from. So a file that is written again with the same content starts no build, and no event has to be trusted.
//!
//! The directories are those of each entry on the way to a file, links and their targets included. Each is watched by
//! itself and by its path without links, because the system knows a directory that is watched by two paths only by one
//! of them. A file that is missing is waited for in the nearest directory that exists.
//!
//! What changes during a build may be an edit, and then the handler is built once more, or the build's own work. A file
//! that differs after each of several builds in a row, and never in between, is the build's own.

use std::{
    collections::BTreeSet,
    mem,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use notify::{
    ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::mpsc::UnboundedSender;
use wasmserve_gateway::mounts::{Mount, Mounts};

use super::{
    build::Failure,
    filter::Layers,
    live::Live,
    load::{Loader, Material},
    scope::{Points, Scope, State},
};
use crate::{
    base::grants::{Dir, Grants},
    event::{Events, notice::Level},
};

/// How long no event must arrive until a burst of changes counts as complete.
const QUIET: Duration = Duration::from_millis(30);

/// How long a burst may last.
const BURST_MAX: Duration = Duration::from_millis(500);

/// How many builds in a row may change a file before it counts as the build's own. A script may edit several times while
/// handlers are built.
const ROUNDS_MAX: u32 = 7;

/// How long the last of these builds waits for an edit, which would show that the user changes the file.
const PAUSE: Duration = Duration::from_secs(1);

/// How far the times of files may lag behind the clock.
const LAG: Duration = Duration::from_millis(10);

/// How often newly watched directories are looked at again before going on.
const LOOKS_MAX: usize = 10;

/// How many changes may wait in the queue. Beyond this, all directories are watched anew.
const CHANGES_MAX: usize = 1000;

/// A handler to watch.
pub(crate) struct Watched {
    mount: Mount,
    source: Layers,
    /// The scope of the newest version.
    scope: Scope,
    /// The scope of the newest version that could be made.
    made_from: Scope,
    /// The state of the scope that the newest version was made from.
    state: State,
    /// How many builds in a row have changed something in the scope.
    rounds: u32,
    /// The digest of what is being served.
    digest: [u8; 32],
    is_broken: bool,
}

impl Watched {
    /// Creates the entry of the handler at `mount`, made from this material of this source.
    #[must_use]
    pub(crate) fn new(mount: Mount, source: Layers, material: &Material) -> Self {
        let (scope, made_from) = (material.scope.clone(), material.scope.clone());
        let digest = material.digest;
        Self { mount, source, scope, made_from, state: State::default(), rounds: 0, digest, is_broken: false }
    }

    /// The granted directory through which the handler could change its own source, if there is one. Building, and
    /// installing what Python apps declare, runs with all the user's rights, so the handler would gain them.
    #[must_use]
    pub(crate) fn is_open_to<'a>(&self, grants: &'a Grants) -> Option<&'a Dir> {
        let is_made = self.source.is_made();
        let mut writable = grants.dirs.iter().filter(|dir| is_made && !dir.read_only).peekable();
        writable.peek()?;
        let points = self.scope.survey().points;
        writable.find(|dir| dir.host.canonicalize().is_ok_and(|host| points.can_change_below(&host)))
    }
}

/// Watches these handlers, which were loaded since `begun`, until the process exits, on a thread that also builds and
/// compiles them.
///
/// # Errors
///
/// The system cannot create another thread, or cannot watch a directory.
pub(crate) fn spawn(
    watched: Vec<Watched>,
    loader: Loader,
    served: Served,
    begun: SystemTime,
) -> anyhow::Result<Rebuild> {
    let (sender, changes) = mpsc::sync_channel(CHANGES_MAX);
    let rebuild = Rebuild { is_asked: Arc::default(), sender: sender.clone() };
    let (has_lost, points) = (Arc::<AtomicBool>::default(), Arc::<ArcSwap<Points>>::default());
    let watcher = notify::recommended_watcher({
        let (has_lost, points) = (Arc::clone(&has_lost), Arc::clone(&points));
        move |event: notify::Result<notify::Event>| {
            let paths = match event {
                Ok(event) if !event.need_rescan() && !is_change(event.kind) => return,
                Ok(event) if !event.need_rescan() => event.paths,
                _ => vec![PathBuf::new()],
            };
            let points = points.load();
            for path in paths {
                if path.as_os_str().is_empty() {
                    has_lost.store(true, Ordering::Relaxed);
                } else if !points.contain(&path) {
                    continue;
                }
                if sender.try_send(path).is_err() {
                    // The watching thread is awake already.
                    has_lost.store(true, Ordering::Relaxed);
                }
            }
        }
    })?;
    let directories = BTreeSet::new();
    let own = BTreeSet::new();
    let is_asked = Arc::clone(&rebuild.is_asked);
    let answers = false;
    let mut watch =
        Watch { watched, loader, served, watcher, points, directories, own, changes, has_lost, is_asked, answers };
    let states = watch.look(&BTreeSet::new());
    // Directories on the way that may not be read are not watched.
    let is_fatal = |error: &notify::Error| matches!(error.kind, ErrorKind::MaxFilesWatch);
    if let Some(error) = watch.watch_directories().err()
        && (is_fatal(&error) || watch.directories.is_empty())
    {
        return Err(error.into());
    }
    thread::Builder::new().name("watch".into()).spawn(move || watch.run(states, begun))?;
    Ok(rebuild)
}

/// Asks for handlers to be built although nothing has changed: what cannot be watched may have.
#[cfg_attr(not(unix), allow(dead_code, reason = "a key asks for it, which only Unix has"))]
pub(crate) struct Rebuild {
    is_asked: Arc<AtomicBool>,
    sender: SyncSender<PathBuf>,
}

#[cfg_attr(not(unix), allow(dead_code, reason = "a key asks for it, which only Unix has"))]
impl Rebuild {
    /// Builds all handlers once more. Does not wait for it.
    pub(crate) fn ask(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
        // Wakes the watching thread. If the queue is full, that thread is awake already.
        _ = self.sender.try_send(PathBuf::new());
    }
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
    /// Receives the mount of each handler that was replaced, after the notice about it.
    pub replaced: UnboundedSender<String>,
}

struct Watch {
    watched: Vec<Watched>,
    loader: Loader,
    served: Served,
    watcher: RecommendedWatcher,
    /// What the watcher reports; it drops everything else.
    points: Arc<ArcSwap<Points>>,
    /// The directories that are being watched.
    directories: BTreeSet<PathBuf>,
    /// The files that builds change by themselves.
    own: BTreeSet<PathBuf>,
    /// The paths of events.
    changes: Receiver<PathBuf>,
    /// Whether changes were lost because the queue was full.
    has_lost: Arc<AtomicBool>,
    /// Whether all handlers are to be built in any case.
    is_asked: Arc<AtomicBool>,
    /// Whether handlers are being built because that was asked for, so that there must be an answer.
    answers: bool,
}

impl Watch {
    /// Runs until no more changes can come. `states` was seen after the handlers were loaded, which began at `begun`.
    fn run(&mut self, states: Vec<State>, begun: SystemTime) {
        let mut due = self.settle(states, begun);
        while let Some(changed) = self.next(due) {
            let begun = SystemTime::now();
            let mut replaced = Vec::new();
            let notices: Vec<_> = changed.into_iter().filter_map(|at| self.renew(at, &mut replaced)).collect();
            self.answers = false;
            // A user who reads the notices may save at once, and that is not a change during the build.
            let states = self.look(&BTreeSet::new());
            for (level, text) in notices {
                self.served.events.notice(level, text);
            }
            // Fails if nothing follows.
            replaced.into_iter().for_each(|mount| _ = self.served.replaced.send(mount));
            due = self.settle(states, begun);
        }
    }

    /// Waits until handlers have changed and the burst is over. Returns `None` when no more changes can come. Those
    /// that are `due` have changed already.
    fn next(&mut self, mut due: BTreeSet<usize>) -> Option<BTreeSet<usize>> {
        let is_last = due.iter().any(|at| self.watched[*at].rounds >= ROUNDS_MAX);
        let patience = match is_last {
            _ if due.is_empty() => Duration::MAX,
            true => PAUSE,
            false => QUIET,
        };
        let asked = Instant::now();
        loop {
            let mut paths = BTreeSet::new();
            match self.changes.recv_timeout(patience.saturating_sub(asked.elapsed())) {
                Ok(path) => _ = paths.insert(path),
                Err(RecvTimeoutError::Timeout) => return Some(due),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            let begun = Instant::now();
            while begun.elapsed() < BURST_MAX
                && let Ok(path) = self.changes.recv_timeout(QUIET)
            {
                paths.insert(path);
            }
            let mut is_edited = false;
            for (at, state) in self.look(&paths).into_iter().enumerate() {
                let watched = &mut self.watched[at];
                let changes = state.changes_since(&watched.state, watched.is_broken);
                if !changes.is_empty() {
                    // No build was running, so these are edits.
                    watched.rounds = 0;
                    self.own.retain(|file| !changes.contains(file));
                    due.insert(at);
                    is_edited = true;
                }
                watched.state = state;
            }
            if self.is_asked.swap(false, Ordering::Relaxed) {
                self.answers = true;
                return Some((0..self.watched.len()).collect());
            }
            if is_edited {
                return Some(due);
            }
        }
    }

    /// Records the states that were seen after a build, which began at `begun`. Returns the handlers whose files were
    /// changed during it.
    fn settle(&mut self, states: Vec<State>, begun: SystemTime) -> BTreeSet<usize> {
        let (mut due, mut own) = (BTreeSet::new(), BTreeSet::new());
        for (at, (watched, state)) in self.watched.iter_mut().zip(states).enumerate() {
            let mut changes = state.changes_during(&watched.state, begun - LAG);
            changes.retain(|file| !self.own.contains(file));
            watched.state = state;
            watched.rounds = if changes.is_empty() { 0 } else { watched.rounds + 1 };
            if watched.rounds > ROUNDS_MAX {
                watched.rounds = 0;
                own.extend(changes.into_iter().map(|file| (file, watched.source.to_string())));
            } else if watched.rounds > 0 {
                due.insert(at);
            }
        }
        if let Some((file, source)) = own.first() {
            let others = match own.iter().map(|(file, _)| file).collect::<BTreeSet<_>>().len() - 1 {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            let text = format!(
                "each build of {source} changes `{}`{others}, which would start the next one; what builds write there \
                 is no longer looked at; write it only if it differs, or into OUT_DIR",
                file.display()
            );
            self.served.events.notice(Level::Warning, text);
        }
        self.own.extend(own.into_iter().map(|(file, _)| file));
        due
    }

    /// Loads a handler and replaces the served one if it differs; its mount is added to `replaced` then. Returns a notice
    /// about the result, if there is one.
    fn renew(&mut self, at: usize, replaced: &mut Vec<String>) -> Option<(Level, String)> {
        let begun = Instant::now();
        let Self { watched, loader, served, answers, .. } = self;
        let Watched { mount, source, scope, made_from, digest, is_broken, .. } = &mut watched[at];
        let (_, live) = served.mounts.iter().find(|(other, _)| other == mount)?;
        let made = loader.material(source).and_then(|material| {
            *made_from = material.scope.clone();
            let is_new = material.digest != *digest;
            let handler =
                if is_new { Some(loader.handler(source, &material, live.handler().allowance())?) } else { None };
            Ok((material, handler))
        });
        scope.clone_from(made_from);
        match made {
            Ok((material, Some(handler))) => {
                live.replace(handler);
                replaced.push(mount.to_string());
                // Pages in directories may show what it answers.
                loader.changes.record(false);
                (*digest, *is_broken) = (material.digest, false);
                Some((
                    Level::Info,
                    format!("serving the new version of {source} ({:.2} s)", begun.elapsed().as_secs_f32()),
                ))
            }
            Ok((_, None)) => {
                live.mend();
                match mem::take(is_broken) {
                    true => Some((Level::Info, format!("{source} is back to the version being served"))),
                    false if *answers => Some((Level::Info, format!("{source} is the same as before"))),
                    false => None,
                }
            }
            Err(Failure { line, output, sources }) => {
                *is_broken = true;
                // Not instead of the scope of the last success: the compiler may not have come as far.
                scope.extend(source.handler.scope(sources));
                let line = format!("{line:#}");
                live.set_failure(line.clone());
                if served.shows_failures {
                    live.set_broken(if output.is_empty() { line.clone() } else { output });
                }
                Some((Level::Error, format!("{line}; still serving the previous version")))
            }
        }
    }

    /// Looks at the files of all handlers, and watches what leads to them from now on. The entries at `changed` may be
    /// other directories than before.
    fn look(&mut self, changed: &BTreeSet<PathBuf>) -> Vec<State> {
        let has_lost = self.has_lost.swap(false, Ordering::Relaxed);
        let is_stale = |path: &Path| has_lost || path.ancestors().any(|place| changed.contains(place));
        let stale: Vec<PathBuf> = self.directories.iter().filter(|path| is_stale(path)).cloned().collect();
        self.forget(stale);
        let mut looks = 0;
        loop {
            let (mut points, mut states) = (Points::default(), Vec::with_capacity(self.watched.len()));
            for watched in &self.watched {
                let survey = watched.scope.survey();
                points.extend(survey.points);
                states.push(survey.state);
            }
            self.points.store(Arc::new(points));
            looks += 1;
            // Files may have changed before their directory was watched.
            if !self.watch_directories().unwrap_or(false) || looks == LOOKS_MAX {
                return states;
            }
        }
    }

    /// Watches the directories of all points, and no others. Returns whether one was added.
    ///
    /// # Errors
    ///
    /// The system cannot watch one of them; the others are watched nevertheless.
    fn watch_directories(&mut self) -> notify::Result<bool> {
        let points = self.points.load_full();
        let wanted = points.directories();
        self.forget(self.directories.iter().filter(|path| !wanted.contains(path.as_path())).cloned().collect());
        let (mut is_more, mut failure) = (false, None);
        for path in wanted {
            if !self.directories.contains(path) {
                match self.watcher.watch(path, RecursiveMode::NonRecursive) {
                    Ok(()) => is_more = self.directories.insert(path.to_owned()),
                    Err(error) => failure = Some(error),
                }
            }
        }
        failure.map_or(Ok(is_more), |error| if is_more { Ok(true) } else { Err(error) })
    }

    /// Stops watching directories.
    fn forget(&mut self, directories: Vec<PathBuf>) {
        for path in directories {
            // Fails if the system has already stopped watching it.
            _ = self.watcher.unwatch(&path);
            self.directories.remove(&path);
        }
    }
}
