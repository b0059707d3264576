//! Where compiled components are kept, and which components are known to compile.

use std::{
    fs::{self, DirEntry, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use wasmtime::{Cache, CacheConfig};

use crate::base::dirs::{directory, make_private};

/// No write to the cache takes that long: a file that is still in progress then belongs to a process that is no more.
const ABANDONED: Duration = Duration::from_secs(60);

/// How many components may be known to compile. Beyond it all are forgotten, which costs time only.
const KNOWN_MAX: usize = 1000;

/// Opens the compile cache below the user's cache directory.
///
/// Returns a warning instead if it cannot be used: the server can do without it.
pub(super) fn open() -> (Option<Cache>, Option<anyhow::Error>) {
    let open_in = |ours: PathBuf| {
        make_private(&ours).with_context(|| format!("`{}`", ours.display()))?;
        open_at(&ours.join("components"))
    };
    match directory().map(open_in) {
        Some(Ok(cache)) => (Some(cache), None),
        Some(Err(error)) => (None, Some(error.context("no compile cache, so that each start compiles anew"))),
        None => (None, None),
    }
}

/// Opens the compile cache in this directory.
///
/// Entries are native code that is run as it is, so nobody else may be able to write there.
///
/// # Errors
///
/// The directory cannot be made, or belongs to somebody else.
pub(super) fn open_at(directory: &Path) -> anyhow::Result<Cache> {
    make_private(directory).with_context(|| format!("`{}`", directory.display()))?;
    remove_leftovers(directory);
    let mut config = CacheConfig::default();
    config.with_directory(directory);
    Ok(Cache::new(config)?)
}

/// The components that have compiled well before: one empty file each, named for the component.
///
/// They are beside the compiled ones and not among them, as wasmtime removes from its cache what it does not know.
pub(super) struct Known(Option<PathBuf>);

impl Known {
    /// Those that are kept for the user. If they cannot be kept, none is ever known.
    pub(super) fn open() -> Self {
        let ours = directory().filter(|ours| make_private(ours).is_ok());
        Self(ours.map(|ours| ours.join("compiled")).filter(|path| make_private(path).is_ok()))
    }

    /// Whether a component of that name has compiled well before.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|directory| directory.join(name).exists())
    }

    /// From now on it has.
    pub(super) fn add(&self, name: &str) {
        let Some(directory) = &self.0 else { return };
        let known: Vec<DirEntry> = fs::read_dir(directory).into_iter().flatten().flatten().collect();
        if known.len() >= KNOWN_MAX {
            for entry in known {
                _ = fs::remove_file(entry.path());
            }
        }
        // If it cannot be written, the next start is slow but right.
        _ = File::create(directory.join(name));
    }
}

/// A process that was killed while it wrote an entry leaves a file behind that keeps wasmtime from ever writing this entry
/// again, so that each start would compile anew. Another server may be writing one right now.
fn remove_leftovers(directory: &Path) {
    let is_abandoned = |entry: &DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > ABANDONED))
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_leftovers(&path);
        } else if entry.file_name().to_string_lossy().contains(".wip-atomic-write") && is_abandoned(&entry) {
            // If it cannot be removed, the start is slow but right.
            _ = fs::remove_file(path);
        }
    }
}
