//! Directories of the tests' own, below cargo's target directory.

use std::{
    fs, io,
    ops::Deref,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::guest;

/// A new directory, removed with all that is in it when it is dropped.
pub struct Place(PathBuf);

impl Place {
    /// A directory that nothing else uses.
    ///
    /// # Panics
    ///
    /// It cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = base().join(format!("{}-{number}", process::id()));
        fs::create_dir_all(&path).expect("the target directory is writable");
        Self(path)
    }

    /// Writes a file into it.
    ///
    /// # Panics
    ///
    /// It cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).expect("a place is writable");
        path
    }

    /// All files in it, however deep, in order.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(self, &mut files).expect("a place is readable");
        files.sort();
        files
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Place {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Of no use, and in nobody's way: cargo's target directory is its owner's to clean.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// The cache directory of all servers that do not test the cache, so that each component is compiled once.
#[must_use]
pub fn shared_cache() -> PathBuf {
    base().join("cache")
}

/// The directory of guests that were translated from text.
///
/// # Panics
///
/// It cannot be made.
#[must_use]
pub fn guests() -> PathBuf {
    let path = base().join("guests");
    fs::create_dir_all(&path).expect("the target directory is writable");
    path
}

/// Beside `debug` or whatever else the server was built into.
#[must_use]
pub fn base() -> PathBuf {
    guest::server().ancestors().nth(2).expect("cargo's directories are two deep").join("wasmserve-tests")
}
