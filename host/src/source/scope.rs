//! The files and directories whose changes are changes of a handler.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File, Metadata},
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};

use super::route::Route;

/// How many files and directories of trees are looked at.
const TREE_MAX: usize = 20_000;

/// How large a file of an app may be for its content to count, in bytes, and all of them. Of others, only the size and
/// the time count.
const CONTENT_MAX: u64 = 1 << 20;
const CONTENTS_MAX: u64 = 64 << 20;

/// The files and directories whose changes are changes of a handler. They need not exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Single files.
    pub(super) files: BTreeSet<PathBuf>,
    /// Directories of which all files count, at any depth.
    pub(super) trees: BTreeSet<PathBuf>,
    /// Directories of Python apps, of which all files count that an app may consist of, at any depth.
    pub(super) apps: BTreeSet<PathBuf>,
    /// Directories of which it counts what they list.
    pub(super) listed: BTreeSet<PathBuf>,
    /// Directories that handlers write to, which are not looked at as parts of an app. Paths without links.
    pub(super) written: BTreeSet<PathBuf>,
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
        self.apps.extend(other.apps);
        self.listed.extend(other.listed);
        self.written.extend(other.written);
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
        for directory in &self.listed {
            survey.add_list(directory);
        }
        // Breadth first: what is near the top of a huge directory is what matters.
        let trees = self.trees.iter().map(|directory| (directory.clone(), Tree::All));
        let sources = self.sources.iter().map(|directory| (directory.clone(), Tree::Sources));
        let apps = self.apps.iter().map(|directory| (directory.clone(), Tree::App));
        let mut directories: VecDeque<(PathBuf, Tree)> = trees.chain(sources).chain(apps).collect();
        let mut contents = CONTENTS_MAX;
        while let Some((directory, what)) = directories.pop_front() {
            let Route { entries, end } = Route::of(&directory);
            survey.points.entries.extend(entries);
            // A directory is entered once, even if links lead to it again.
            let Some(end) = end.filter(|end| what != Tree::App || !self.written.contains(end)) else { continue };
            let known = match what {
                Tree::All => &mut survey.points.trees,
                Tree::Sources => &mut survey.points.sources,
                Tree::App => &mut survey.points.apps,
            };
            if !known.insert(end) || survey.state.files.len() + directories.len() > TREE_MAX {
                continue;
            }
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if what == Tree::App && survey.state.files.len() >= TREE_MAX {
                    break;
                }
                let path = entry.path();
                // Most entries of an app's directory are no links, and need no other look.
                let plain = entry.file_type().ok().filter(|kind| what == Tree::App && !kind.is_symlink());
                match (what, plain.map_or_else(|| path.is_dir(), |kind| kind.is_dir())) {
                    (Tree::All, true) => directories.push_back((path, what)),
                    (Tree::App, true) if is_of_app(&path) && !is_foreign(&path) => directories.push_back((path, what)),
                    (Tree::All, false) => survey.add(&path),
                    (Tree::Sources, false) if is_rust(&path) => survey.add(&path),
                    (Tree::App, false) if is_of_app(&path) => survey.add_of_app(path, plain.is_none(), &mut contents),
                    _ => {}
                }
            }
        }
        survey.points.written.clone_from(&self.written);
        survey
    }
}

/// What counts of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    /// All files, at any depth.
    All,
    /// The Rust files in it.
    Sources,
    /// All files that a Python app may consist of, at any depth.
    App,
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Whether a Python app may consist of a file or a directory with this name: not if it is hidden, as what editors and
/// version control write is, or if it is what Python, its installers or apps write themselves: bytecode, metadata,
/// databases and logs.
fn is_of_app(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()) else { return false };
    let endings =
        [".pyc", ".pyo", ".egg-info", ".log", ".pid", ".db", ".sqlite", ".sqlite3", "-journal", "-wal", "-shm", "~"];
    !name.starts_with(['.', '#'])
        && !["__pycache__", "node_modules"].contains(&&*name)
        && !endings.iter().any(|ending| name.ends_with(ending))
}

/// Whether a directory belongs to something else than the app that it is in: a virtual environment.
fn is_foreign(directory: &Path) -> bool {
    directory.join("pyvenv.cfg").exists()
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

    /// Adds a file in a directory of an app, which is watched, or a link there. Its content counts if it is within what
    /// is left of all `contents`.
    fn add_of_app(&mut self, path: PathBuf, is_link: bool, contents: &mut u64) {
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let stamp = if size <= CONTENT_MAX.min(*contents) { Stamp::of(&path) } else { Stamp::of_large(&path) };
        *contents -= size.min(*contents);
        if is_link {
            self.points.entries.extend(Route::of(&path).entries);
        }
        self.state.files.entry(path).or_insert(stamp);
    }

    /// Adds a directory of which it counts what it lists.
    fn add_list(&mut self, directory: &Path) {
        let Route { entries, end } = Route::of(directory);
        self.points.entries.extend(entries);
        self.points.trees.extend(end);
        self.state.files.insert(directory.to_owned(), Stamp::of_list(directory));
    }

    /// A digest of the contents of all files.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (path, stamp) in &self.state.files {
            digest.update(path.as_os_str().as_encoded_bytes());
            digest.update([0]);
            digest.update(stamp.content.unwrap_or_default());
        }
        digest.finalize().into()
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
    /// Directories of which all entries count that an app may consist of.
    apps: BTreeSet<PathBuf>,
    /// Directories that handlers write to, which are no part of an app.
    written: BTreeSet<PathBuf>,
}

impl Points {
    /// Adds other points.
    pub(crate) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.trees.extend(other.trees);
        self.sources.extend(other.sources);
        self.apps.extend(other.apps);
        self.written.extend(other.written);
    }

    /// Whether a change of the entry at `path` may matter.
    #[must_use]
    pub(crate) fn contain(&self, path: &Path) -> bool {
        let is_in = |directories: &BTreeSet<PathBuf>| path.parent().is_some_and(|parent| directories.contains(parent));
        self.entries.contains(path)
            || is_in(&self.trees)
            || is_rust(path) && is_in(&self.sources)
            || is_of_app(path) && is_in(&self.apps)
    }

    /// The directories to watch, each without its subdirectories.
    pub(crate) fn directories(&self) -> BTreeSet<&Path> {
        let parents = self.entries.iter().filter_map(|entry| entry.parent());
        let all = self.trees.iter().chain(&self.sources).chain(&self.apps);
        parents.chain(all.map(PathBuf::as_path)).collect()
    }

    /// Whether a change of a file below `directory`, a path without links, may matter.
    #[must_use]
    pub(crate) fn can_change_below(&self, directory: &Path) -> bool {
        self.directories().into_iter().any(|point| point.starts_with(directory))
            || self.trees.iter().any(|tree| directory.starts_with(tree))
            || !self.written.contains(directory) && self.apps.iter().any(|tree| directory.starts_with(tree))
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

    /// The state of a file whose size and time stand for its content.
    fn of_large(path: &Path) -> Self {
        let Ok(metadata) = fs::metadata(path) else { return Self::default() };
        let (written, changed) = (metadata.modified().ok(), changed(&metadata));
        let content = Sha256::digest(format!("{} {written:?}", metadata.len())).into();
        Self { content: Some(content), written, changed }
    }

    /// The state of a directory whose list of entries is its content.
    fn of_list(directory: &Path) -> Self {
        let Ok(metadata) = fs::metadata(directory) else { return Self::default() };
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let names: BTreeSet<_> = entries.map(|entry| entry.file_name()).collect();
        let content = Sha256::digest(format!("{names:?}")).into();
        Self { content: Some(content), written: metadata.modified().ok(), changed: changed(&metadata) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_consists_of_all_files_but_those_that_others_write() {
        let base = std::env::temp_dir().join(format!("wasmserve-app-scope-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            let file = base.join(name);
            fs::create_dir_all(file.parent().expect("it has a parent")).expect("a temporary directory is writable");
            fs::write(file, text).expect("a temporary directory is writable");
        };
        for name in ["app.py", "templates/deep/page.html", "data/x", "venv/pyvenv.cfg"] {
            write(name, "1");
        }
        let base = base.canonicalize().expect("the directory exists");
        let scope = Scope { apps: [base.clone()].into(), written: [base.join("data")].into(), ..Scope::default() };
        let digest = || scope.survey().digest();
        let before = digest();
        for name in [
            ".git/index",
            ".app.py.swp",
            "app.py~",
            "__pycache__/app.cpython-314.pyc",
            "templates/.hidden",
            "node_modules/x/index.js",
            "app.egg-info/PKG-INFO",
            "venv/lib/x.py",
            "data/x",
            "db.sqlite3",
            "db.sqlite3-journal",
            "server.log",
        ] {
            write(name, "2");
            assert_eq!(digest(), before, "{name}");
        }
        let points = scope.survey().points;
        assert!(points.contain(&base.join("new.py")) && points.contain(&base.join("templates/deep/new.html")));
        assert!(!points.contain(&base.join(".app.py.swp")) && !points.contain(&base.join("data/x")));
        assert!(points.can_change_below(&base) && !points.can_change_below(&base.join("data")));
        let mut seen = BTreeSet::from([before]);
        for name in ["app.py", "templates/deep/page.html", "templates/new.css", "settings.toml"] {
            write(name, "3");
            assert!(seen.insert(digest()), "{name}");
        }
        _ = fs::remove_dir_all(base);
    }
}
