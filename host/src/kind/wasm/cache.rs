//! The cache of compiled components, and the list of components that are known to compile.

use std::{
    fs::{self, DirEntry, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use wasmtime::{Cache, CacheConfig};

use crate::base::dirs::{directory, make_private};

/// The age at which an unfinished file is abandoned. No write takes this long, so its process must have died.
const ABANDONED: Duration = Duration::from_secs(60);

/// How many bytes the cache may take. Beyond this, wasmtime removes the entries that were not used for the longest time.
const SIZE_MAX: u64 = 256 << 20;

/// How many components the list may hold. When it is full, it is emptied; that only costs time.
const KNOWN_MAX: usize = 1000;

/// Opens the compile cache below the user's cache directory.
///
/// Returns a warning instead if the cache cannot be used. The server works without it, but starts more slowly.
pub(super) fn open() -> (Option<Cache>, Option<anyhow::Error>) {
    let open_in = |ours: PathBuf| {
        make_private(&ours).with_context(|| format!("`{}`", ours.display()))?;
        open_at(&ours.join("components"))
    };
    match directory().map(open_in) {
        Some(Ok(cache)) => (Some(cache), None),
        Some(Err(error)) => (None, Some(error.context("no compile cache; each start will compile again"))),
        None => (None, None),
    }
}

/// Opens the compile cache in this directory.
///
/// Entries are native code that runs unchecked, so no other user may have write access to the directory.
///
/// # Errors
///
/// The directory cannot be created, or belongs to another user.
pub(super) fn open_at(directory: &Path) -> anyhow::Result<Cache> {
    make_private(directory).with_context(|| format!("`{}`", directory.display()))?;
    remove_leftovers(directory);
    let mut config = CacheConfig::default();
    config.with_directory(directory);
    config.with_files_total_size_soft_limit(SIZE_MAX);
    Ok(Cache::new(config)?)
}

/// The components that have compiled successfully before: one empty file each, named after the component's key.
///
/// They have a directory of their own, because wasmtime removes unknown files from its cache.
pub(super) struct Known(Option<PathBuf>);

impl Known {
    /// Opens the user's list. If it cannot be kept, no component is ever known.
    pub(super) fn open() -> Self {
        let ours = directory().filter(|ours| make_private(ours).is_ok());
        Self(ours.map(|ours| ours.join("compiled")).filter(|path| make_private(path).is_ok()))
    }

    /// Whether the component with this key has compiled successfully before.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|directory| directory.join(name).exists())
    }

    /// Adds a component to the list.
    pub(super) fn add(&self, name: &str) {
        let Some(directory) = &self.0 else { return };
        let known: Vec<DirEntry> = fs::read_dir(directory).into_iter().flatten().flatten().collect();
        if known.len() >= KNOWN_MAX {
            for entry in known {
                _ = fs::remove_file(entry.path());
            }
        }
        // If it cannot be written, the next start is slower but correct.
        _ = File::create(directory.join(name));
    }
}

/// Removes unfinished files of processes that were killed while writing. Such a file keeps wasmtime from ever writing
/// that entry again, so each start would compile again. Recent files stay, because another server may be writing them.
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
            // If it cannot be removed, starts are slower but correct.
            _ = fs::remove_file(path);
        }
    }
}
