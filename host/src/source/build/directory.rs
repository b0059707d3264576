//! The directory in the user's cache in which Rust files are built, one for each version of the SDK.
//!
//! ```text
//! build/0f3c…/guest-sdk/              the SDK
//! build/0f3c…/files/hello-77ab…/      a package for each file, and its source if it has frontmatter
//! build/0f3c…/target/                 cargo's target directory, shared by all packages
//! build/0f3c….lock                    held while a process builds in it
//! ```

use std::{
    fs::{self, DirEntry, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process,
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::manifest::{self, Script};
use crate::{
    base::{dirs, hex::hex},
    source::sdk,
};

/// The lock file of each package: the workspace's own, which covers the SDK's dependencies. Cargo removes what is not
/// needed.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// How many packages are kept. Beyond this, all are removed along with the target directory, which only costs time.
const FILES_MAX: usize = 200;

/// How many versions of the SDK keep a build directory.
const DIRECTORIES_MAX: usize = 4;

/// The build directory, locked against other processes.
pub(super) struct BuildDirectory {
    directory: PathBuf,
    _lock: File,
}

/// A package for one file.
#[derive(Debug)]
pub(super) struct Package {
    /// The directory in which the compiler runs, without symbolic links in its path.
    pub(super) directory: PathBuf,
    /// Its manifest.
    pub(super) manifest: PathBuf,
    /// The name of its only program.
    pub(super) program: String,
    /// The directory of the compiled source, which is not the file's own if the file has frontmatter.
    pub(super) source: PathBuf,
}

impl BuildDirectory {
    /// Creates the directory and writes the SDK into it, unless it exists. Blocks while another process builds in it,
    /// and calls `wait` before that.
    ///
    /// # Errors
    ///
    /// The directory cannot be written or locked.
    pub(super) fn enter(wait: impl FnOnce()) -> anyhow::Result<Self> {
        let base = dirs::cache_directory("build")?;
        let mut version = Sha256::new_with_prefix(LOCK);
        for (path, text) in sdk::FILES {
            version.update(path);
            version.update(text);
        }
        let directory = base.join(short(version));
        let lock = lock(&directory.with_extension("lock"), wait)
            .context("cannot be built: failed to lock the build directory")?;
        let builds = Self { directory, _lock: lock };
        builds.fill(&base).with_context(|| format!("cannot be built in `{}`", builds.directory.display()))?;
        Ok(builds)
    }

    fn fill(&self, base: &Path) -> io::Result<()> {
        if !self.sdk().exists() {
            forget_oldest(base);
            // Written as a whole or not at all, because an existing version is never checked again.
            let new = self.directory.join(process::id().to_string());
            sdk::write(&new)?;
            fs::rename(&new, self.sdk())?;
        }
        let files = self.directory.join("files");
        if fs::read_dir(&files).is_ok_and(|entries| entries.count() > FILES_MAX) {
            fs::remove_dir_all(&files)?;
            fs::remove_dir_all(self.target())?;
        }
        Ok(())
    }

    /// The path of the directory.
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    fn sdk(&self) -> PathBuf {
        self.directory.join("guest-sdk")
    }

    /// Cargo's target directory.
    pub(super) fn target(&self) -> PathBuf {
        self.directory.join("target")
    }

    /// Writes the package of a file with this script, unless it is up to date. `file` must be absolute.
    ///
    /// # Errors
    ///
    /// The script's manifest is invalid, or the package cannot be written.
    pub(super) fn package(&self, file: &Path, script: &Script) -> anyhow::Result<Package> {
        let program = manifest::name(file);
        let mut path = Sha256::new();
        path.update(file.as_os_str().as_encoded_bytes());
        let directory = self.directory.join("files").join(format!("{program}-{}", short(path)));
        let origin = file.parent().unwrap_or(file);
        // The source is outside of the package: otherwise cargo would pass a relative path, and messages would show it.
        let package = directory.join("package");
        let source = match &script.stripped {
            Some(_) => directory.join(file.file_name().unwrap_or_default()),
            None => file.to_owned(),
        };
        let manifest = script.manifest(&program, &source, origin, &self.sdk())?;
        let write = || {
            fs::create_dir_all(&package)?;
            if let Some(stripped) = &script.stripped {
                update(&source, stripped)?;
            }
            let lock = package.join("Cargo.lock");
            if !lock.exists() {
                fs::write(lock, LOCK)?;
            }
            update(&package.join("Cargo.toml"), &manifest)
        };
        let written = write().and_then(|()| fs::canonicalize(&package));
        let package = written.with_context(|| format!("cannot be built in `{}`", directory.display()))?;
        let source = source.parent().unwrap_or(origin).to_owned();
        Ok(Package { manifest: package.join("Cargo.toml"), directory: package, program, source })
    }
}

/// Takes the lock, which is held as long as the file is open. Blocks while another process holds it.
fn lock(path: &Path, wait: impl FnOnce()) -> io::Result<File> {
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            wait();
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(file)
}

/// Writes a file unless it has this content already, because cargo takes every write for a change.
fn update(path: &Path, content: &str) -> io::Result<()> {
    match fs::read(path) {
        Ok(old) if old == content.as_bytes() => Ok(()),
        _ => fs::write(path, content),
    }
}

/// Removes the least recently used build directories of other versions of the SDK, if there are too many.
fn forget_oldest(base: &Path) {
    let entries: Vec<DirEntry> = fs::read_dir(base).into_iter().flatten().flatten().collect();
    let is_lock = |entry: &&DirEntry| entry.path().extension().is_some_and(|extension| extension == "lock");
    let mut locks: Vec<&DirEntry> = entries.iter().filter(is_lock).collect();
    locks.sort_by_key(|entry| entry.metadata().and_then(|metadata| metadata.modified()).ok());
    let too_many = locks.len().saturating_sub(DIRECTORIES_MAX);
    for lock in &locks[..too_many] {
        // If a directory cannot be removed, it only takes disk space.
        _ = fs::remove_dir_all(lock.path().with_extension("")).and_then(|()| fs::remove_file(lock.path()));
    }
}

/// A prefix of a hash that is long enough to be unique among one user's files.
fn short(hash: Sha256) -> String {
    hex(&hash.finalize()[..8])
}
