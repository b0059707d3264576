//! The files and directories whose changes are changes of a handler.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Metadata},
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};

use super::route::Route;

/// How many files and directories of trees are looked at.
const TREE_MAX: usize = 20_000;

/// The files and directories whose changes are changes of a handler. They need not exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Single files.
    pub(super) files: BTreeSet<PathBuf>,
    /// Directories of which all files count, at any depth.
    pub(super) trees: BTreeSet<PathBuf>,
    /// A directory of which all Rust files count: a missing one may be the reason why a build failed.
    pub(super) sources: Option<PathBuf>,
    /// A path of which it also counts where it leads to: the build knows its sources by that place.
    pub(super) place: Option<PathBuf>,
}

impl Scope {
    /// Adds another scope's files and directories.
    pub(crate) fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.trees.extend(other.trees);
        self.sources = other.sources.or(self.sources.take());
        self.place = other.place.or(self.place.take());
    }

    /// Looks at all files. Blocks while reading them.
    #[must_use]
    pub(crate) fn survey(&self) -> Survey {
        let mut survey = Survey::default();
        for file in &self.files {
            survey.add(file);
        }
        if let Some(path) = &self.place {
            let route = Route::of(path);
            survey.points.entries.extend(route.entries);
            survey.state.place = route.end;
        }
        let mut directories: Vec<(PathBuf, bool)> = self.trees.iter().map(|tree| (tree.clone(), true)).collect();
        directories.extend(self.sources.iter().map(|directory| (directory.clone(), false)));
        while let Some((directory, is_deep)) = directories.pop() {
            let Route { entries, end } = Route::of(&directory);
            survey.points.entries.extend(entries);
            // A directory is entered once, even if links lead to it again.
            let Some(end) = end else { continue };
            let known = if is_deep { &mut survey.points.trees } else { &mut survey.points.sources };
            if !known.insert(end) || survey.state.files.len() + directories.len() > TREE_MAX {
                continue;
            }
            for path in fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
                match path.is_dir() {
                    true if is_deep => directories.push((path, true)),
                    false if is_deep || is_rust(&path) => survey.add(&path),
                    _ => {}
                }
            }
        }
        survey
    }
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// What was seen of a [`Scope`] at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// Where changes have to be noticed.
    pub points: Points,
    /// What may have changed.
    pub state: State,
}

impl Survey {
    fn add(&mut self, path: &Path) {
        if !self.state.files.contains_key(path) {
            self.points.entries.extend(Route::of(path).entries);
            self.state.files.insert(path.to_owned(), Stamp::of(path));
        }
    }
}

/// The directory entries whose changes may be changes of a handler, by paths without links.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points {
    entries: BTreeSet<PathBuf>,
    /// Directories of which all entries count.
    trees: BTreeSet<PathBuf>,
    /// Directories of which all Rust files count.
    sources: BTreeSet<PathBuf>,
}

impl Points {
    /// Adds other points.
    pub(crate) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.trees.extend(other.trees);
        self.sources.extend(other.sources);
    }

    /// Whether a change of the entry at `path` may matter.
    #[must_use]
    pub(crate) fn contain(&self, path: &Path) -> bool {
        let is_in = |directories: &BTreeSet<PathBuf>| path.parent().is_some_and(|parent| directories.contains(parent));
        self.entries.contains(path) || is_in(&self.trees) || is_rust(path) && is_in(&self.sources)
    }

    /// The directories to watch, each without its subdirectories.
    pub(crate) fn directories(&self) -> BTreeSet<&Path> {
        let parents = self.entries.iter().filter_map(|entry| entry.parent());
        parents.chain(self.trees.iter().chain(&self.sources).map(PathBuf::as_path)).collect()
    }

    /// Whether a change of a file below `directory`, a path without links, may matter.
    #[must_use]
    pub(crate) fn can_change_below(&self, directory: &Path) -> bool {
        self.directories().into_iter().any(|point| point.starts_with(directory))
            || self.trees.iter().any(|tree| directory.starts_with(tree))
    }
}

/// The state of all files of a scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    files: BTreeMap<PathBuf, Stamp>,
    place: Option<PathBuf>,
}

impl State {
    /// The files that differ from an older state of the same scope: in their content, or also in when they were
    /// `written`.
    #[must_use]
    pub(crate) fn changes_since(&self, older: &Self, written: bool) -> BTreeSet<PathBuf> {
        let differs = |path: &&PathBuf| {
            let stamp = |state: &Self| state.files.get(*path).cloned().unwrap_or_default();
            let (new, old) = (stamp(self), stamp(older));
            new.content != old.content || written && new.written != old.written
        };
        let files = self.files.keys().chain(older.files.keys()).filter(differs).cloned();
        files.chain(self.moved_since(older)).collect()
    }

    /// The files that have changed since `begun`, as far as the older state, of which the scope may have been another,
    /// shows it.
    #[must_use]
    pub(crate) fn changes_during(&self, older: &Self, begun: SystemTime) -> BTreeSet<PathBuf> {
        let new = self.files.iter().filter(|(path, stamp)| match older.files.get(*path) {
            Some(old) => old.content != stamp.content,
            None => stamp.changed.is_some_and(|changed| changed >= begun),
        });
        let is_gone = |(path, stamp): &(&PathBuf, &Stamp)| {
            stamp.content.is_some() && !self.files.contains_key(*path) && !path.exists()
        };
        let gone = older.files.iter().filter(is_gone);
        new.chain(gone).map(|(path, _)| path.clone()).chain(self.moved_since(older)).collect()
    }

    /// The place that the scope's path leads to now, if it led to another one.
    fn moved_since(&self, older: &Self) -> Option<PathBuf> {
        self.place.clone().filter(|place| older.place.as_ref().is_some_and(|old| old != place))
    }
}

/// The state of one file.
#[derive(Clone, Debug, Default)]
struct Stamp {
    /// The digest of its content; `None` if it does not exist.
    content: Option<[u8; 32]>,
    /// When its content was written last.
    written: Option<SystemTime>,
    /// When the file was changed or moved to its place; when its content was written where the system does not record
    /// that.
    changed: Option<SystemTime>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let Ok(metadata) = fs::metadata(path) else { return Self::default() };
        // Anything but a file, such as a pipe, only has to exist: reading it might block forever.
        let content = if metadata.is_file() { digest(path) } else { Some([0; 32]) };
        Self { content, written: metadata.modified().ok(), changed: changed(&metadata) }
    }
}

/// The SHA-256 of a file's content; `None` if it cannot be read.
pub(super) fn digest(path: &Path) -> Option<[u8; 32]> {
    let (mut file, mut digest, mut part) = (File::open(path).ok()?, Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut part).ok()? {
            0 => return Some(digest.finalize().into()),
            length => digest.update(&part[..length]),
        }
    }
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    use std::{os::unix::fs::MetadataExt as _, time::Duration};
    let seconds = Duration::from_secs(metadata.ctime().try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(seconds + Duration::from_nanos(metadata.ctime_nsec().try_into().ok()?))
}

#[cfg(not(unix))]
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}
