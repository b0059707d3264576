//! Notices changes of the files in a directory, for pages that reload.
//!
//! Directories are watched one by one, because a recursive watch would include what is hidden, such as `.git`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use notify::{
    ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};

use super::{path::has_hidden, reload::Changes};

/// How long no event must arrive until a burst of changes counts as complete.
const QUIET: Duration = Duration::from_millis(30);

/// How long a burst may last.
const BURST_MAX: Duration = Duration::from_millis(500);

/// How many directories are watched.
const DIRECTORIES_MAX: usize = 10_000;

/// Watches a directory until the process exits, on a thread of its own. `root` is its absolute path.
///
/// # Errors
///
/// The system cannot watch the directory, or create another thread.
pub(super) fn spawn(root: PathBuf, changes: Arc<Changes>) -> anyhow::Result<()> {
    let (sender, events) = mpsc::channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let paths = match event {
            Ok(event) if !event.need_rescan() && !is_change(event.kind) => return,
            Ok(event) if !event.need_rescan() => event.paths,
            // Anything may have changed.
            _ => vec![PathBuf::new()],
        };
        // Fails if the watching thread has ended.
        _ = sender.send(paths);
    })?;
    let mut watch = Watch { root, watcher, directories: BTreeSet::new() };
    watch.look(&BTreeSet::new())?;
    thread::Builder::new().name("live".into()).spawn(move || watch.run(&events, &changes))?;
    Ok(())
}

/// Whether an event is about content or names: neither a read access nor only a change of permissions.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Metadata(_)) => false,
        _ => true,
    }
}

struct Watch {
    root: PathBuf,
    watcher: RecommendedWatcher,
    /// The directories that are being watched.
    directories: BTreeSet<PathBuf>,
}

impl Watch {
    fn run(&mut self, events: &Receiver<Vec<PathBuf>>, changes: &Changes) {
        while let Ok(first) = events.recv() {
            let begun = Instant::now();
            let mut changed: BTreeSet<PathBuf> = first.into_iter().collect();
            while begun.elapsed() < BURST_MAX
                && let Ok(more) = events.recv_timeout(QUIET)
            {
                changed.extend(more);
            }
            changed.retain(|path| self.concerns(path));
            if changed.is_empty() {
                continue;
            }
            // Before the pages load again: what changes after that must be seen. What cannot be watched is not.
            _ = self.look(&changed);
            changes.record(changed.iter().all(|path| path.extension().is_some_and(|extension| extension == "css")));
        }
    }

    /// Whether a change at this path may change what is served.
    fn concerns(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || path.strip_prefix(&self.root).is_ok_and(|below| !has_hidden(below))
    }

    /// Watches the directories that are there now. Those at `changed` may be other ones than before.
    ///
    /// # Errors
    ///
    /// The system cannot watch as many, or not the root.
    fn look(&mut self, changed: &BTreeSet<PathBuf>) -> notify::Result<()> {
        let is_lost = changed.iter().any(|path| path.as_os_str().is_empty());
        let is_stale = |path: &Path| is_lost || path.ancestors().any(|place| changed.contains(place));
        let wanted = self.wanted();
        let forgotten = self.directories.iter().filter(|path| is_stale(path) || !wanted.contains(*path));
        for path in forgotten.cloned().collect::<Vec<_>>() {
            // Fails if the system has already stopped watching it.
            _ = self.watcher.unwatch(&path);
            self.directories.remove(&path);
        }
        for path in wanted {
            if self.directories.contains(&path) {
                continue;
            }
            match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.directories.insert(path),
                Err(error) if path == self.root || matches!(error.kind, ErrorKind::MaxFilesWatch) => return Err(error),
                // It is gone again, or may not be read.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// The root and its parent, where a build may create the root anew, and all directories below that are not hidden.
    fn wanted(&self) -> BTreeSet<PathBuf> {
        let (mut wanted, mut places) = (BTreeSet::new(), BTreeSet::new());
        wanted.extend(self.root.parent().map(Path::to_owned));
        let mut next = vec![self.root.clone()];
        while let Some(directory) = next.pop() {
            // A directory is entered once, even if links lead to it again.
            let is_new = directory.canonicalize().is_ok_and(|place| places.insert(place));
            if !is_new || places.len() > DIRECTORIES_MAX {
                continue;
            }
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            let paths = entries.map(|entry| entry.path());
            next.extend(paths.filter(|path| self.concerns(path) && path.is_dir()));
            wanted.insert(directory);
        }
        wanted
    }
}
