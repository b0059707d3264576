//! Where files are built: a directory for this version of the SDK in the user's cache directory.
//!
//! ```text
//! build/0f3c…/guest-sdk/              the SDK
//! build/0f3c…/files/hello-77ab…/      for each file a package, and its source if it has frontmatter
//! build/0f3c…/target/                 cargo's, which all of them share
//! build/0f3c….lock                    held by whoever builds in it
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

/// The versions of all that the SDK stands on: the workspace's own. Cargo leaves out what a file does not need.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// How many files may have a package. Beyond it all are forgotten with all that was built, which costs time only.
const FILES_MAX: usize = 200;

/// How many versions of the SDK may have a builds.
const DIRECTORIES_MAX: usize = 4;

/// The directory, for as long as nobody else builds in it.
pub(super) struct BuildDirectory {
    directory: PathBuf,
    _lock: File,
}

/// A package for one file.
#[derive(Debug)]
pub(super) struct Package {
    /// Its directory, without links in its name: the compiler runs there.
    pub(super) directory: PathBuf,
    /// Its manifest.
    pub(super) manifest: PathBuf,
    /// Its one program.
    pub(super) program: String,
    /// The directory of the source that is compiled, which need not be the file's own.
    pub(super) source: PathBuf,
}

impl BuildDirectory {
    /// Makes the directory with the SDK in it, unless it is there already. Waits for others who build in it; `wait` is called
    /// before.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn enter(wait: impl FnOnce()) -> anyhow::Result<Self> {
        let base = dirs::cache_directory("build")?;
        let mut version = Sha256::new_with_prefix(LOCK);
        for (path, text) in sdk::FILES {
            version.update(path);
            version.update(text);
        }
        let directory = base.join(short(version));
        let lock = lock(&directory.with_extension("lock"), wait).context("cannot be built alone")?;
        let builds = Self { directory, _lock: lock };
        builds.fill(&base).with_context(|| format!("has no place to be built: `{}`", builds.directory.display()))?;
        Ok(builds)
    }

    fn fill(&self, base: &Path) -> io::Result<()> {
        if !self.sdk().exists() {
            forget_oldest(base);
            // Whole or not at all: a version that is there is never looked at again.
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

    /// Where all of it is.
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

    /// Writes the package of a file with this script, as far as it is not there already. `file` must be absolute.
    ///
    /// # Errors
    ///
    /// What the script says of its dependencies is wrong, or the package cannot be written.
    pub(super) fn package(&self, file: &Path, script: &Script) -> anyhow::Result<Package> {
        let program = manifest::name(file);
        let mut path = Sha256::new();
        path.update(file.as_os_str().as_encoded_bytes());
        let directory = self.directory.join("files").join(format!("{program}-{}", short(path)));
        let origin = file.parent().unwrap_or(file);
        // The source is not in it: cargo would name it in another way then, and the compiler to the user.
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
        let package = written.with_context(|| format!("has no place to be built: `{}`", directory.display()))?;
        let source = source.parent().unwrap_or(origin).to_owned();
        Ok(Package { manifest: package.join("Cargo.toml"), directory: package, program, source })
    }
}

/// The lock that is held as long as the file is open.
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

/// Writes a file unless it has this content already: to cargo one that is written is one that has changed.
fn update(path: &Path, content: &str) -> io::Result<()> {
    match fs::read(path) {
        Ok(old) if old == content.as_bytes() => Ok(()),
        _ => fs::write(path, content),
    }
}

/// Removes the homes of other versions of the SDK that were not used for the longest time, if there are too many.
fn forget_oldest(base: &Path) {
    let entries: Vec<DirEntry> = fs::read_dir(base).into_iter().flatten().flatten().collect();
    let is_lock = |entry: &&DirEntry| entry.path().extension().is_some_and(|extension| extension == "lock");
    let mut locks: Vec<&DirEntry> = entries.iter().filter(is_lock).collect();
    locks.sort_by_key(|entry| entry.metadata().and_then(|metadata| metadata.modified()).ok());
    let too_many = locks.len().saturating_sub(DIRECTORIES_MAX);
    for lock in &locks[..too_many] {
        // If it cannot be removed, it takes room and nothing else.
        _ = fs::remove_dir_all(lock.path().with_extension("")).and_then(|()| fs::remove_file(lock.path()));
    }
}

/// As much of a hash as tells apart what one user has.
fn short(hash: Sha256) -> String {
    hex(&hash.finalize()[..8])
}
