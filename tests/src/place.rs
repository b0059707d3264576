//! Directories for the tests, below cargo's target directory.

use std::{
    env,
    ffi::OsString,
    fs, io,
    ops::Deref,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::guest;

/// A new directory, removed with its content when it is dropped.
pub struct Place(PathBuf);

impl Place {
    /// Creates a directory that nothing else uses.
    ///
    /// # Panics
    ///
    /// It cannot be created.
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

    /// All files in it, recursively and in order.
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
        // Without its content it does no harm: it is in cargo's target directory.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// The cache directory of all servers in tests that do not test the cache, so that each component is compiled once.
#[must_use]
pub fn shared_cache() -> PathBuf {
    base().join("cache")
}

/// The home directory of all processes that tests run: empty, and a test checks that it stays empty.
///
/// # Panics
///
/// It cannot be created.
#[must_use]
pub fn home() -> PathBuf {
    let path = base().join("home");
    fs::create_dir_all(&path).expect("the target directory is writable");
    path
}

/// The variables that keep a process out of the developer's home. The directories of cargo and rustup stay as they are:
/// nothing can be built without them.
pub fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    let tools = [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")].into_iter().filter_map(|(name, below)| {
        let default = || Some(PathBuf::from(env::var_os("HOME")?).join(below).into_os_string());
        Some((name, env::var_os(name).or_else(default)?))
    });
    tools.chain([("HOME", home().into()), ("XDG_CACHE_HOME", shared_cache().into())])
}

/// The directory of guests that were translated from text.
///
/// # Panics
///
/// It cannot be created.
#[must_use]
pub fn guests() -> PathBuf {
    let path = base().join("guests");
    fs::create_dir_all(&path).expect("the target directory is writable");
    path
}

/// Next to `debug`, or to whatever directory the server was built into.
#[must_use]
pub fn base() -> PathBuf {
    guest::server().ancestors().nth(2).expect("cargo's directories are two deep").join("wasmserve-tests")
}
