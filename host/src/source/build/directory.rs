//! The directory in the user's cache in which Rust files are built, one for each version of the SDK.
//!
//! ```text
//! build/0f3c…/guest-sdk/              the SDK
//! build/0f3c…/Cargo.toml              the SDK's workspace, in which it is documented
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

/// How many packages are kept, and how many bytes of disk they and what was built from them may take. Beyond this, those
/// that were not built for the longest time are removed, which only costs time.
const FILES_MAX: usize = 200;
const SIZE_MAX: u64 = 512 << 20;

/// The workspace of the SDK. Packages of files have their own.
const WORKSPACE: &str = "[workspace]\nmembers = [\"guest-sdk\"]\nresolver = \"3\"\n";

/// The file in a package's directory whose time shows when the package was last built.
const USED: &str = "used";

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
        self.shrink(FILES_MAX, SIZE_MAX)
    }

    /// Removes the packages that were not built for the longest time, with what was built from them, until at most
    /// `files` are left, and `bytes` of disk are used. If that is not enough, what they depend on is removed too.
    fn shrink(&self, files: usize, bytes: u64) -> io::Result<()> {
        let entries = fs::read_dir(self.directory.join("files")).into_iter().flatten().flatten();
        let used = |entry: &DirEntry| fs::metadata(entry.path().join(USED)).and_then(|used| used.modified()).ok();
        let mut packages: Vec<DirEntry> = entries.collect();
        packages.sort_by_key(used);
        let mut size = dirs::size(&self.directory);
        let mut left = packages.len();
        for package in packages {
            if left <= files && size <= bytes {
                return Ok(());
            }
            size -= size.min(self.forget(&package)?);
            left -= 1;
        }
        if size > bytes {
            fs::remove_dir_all(self.target())?;
        }
        Ok(())
    }

    /// Removes a package and what was built from it. Returns how many bytes of disk that freed.
    fn forget(&self, package: &DirEntry) -> io::Result<u64> {
        let (name, mut freed) = (package.file_name(), dirs::size(&package.path()));
        fs::remove_dir_all(package.path())?;
        let name = name.to_string_lossy();
        let program = name.rsplit_once('-').map_or(&*name, |(program, _)| program);
        // Cargo's names have `_` for `-` in some places, and a hash behind another `-`.
        let is_its = |file: &str| {
            let stem = file.split('.').next().unwrap_or(file).replace('-', "_");
            let program = program.replace('-', "_");
            stem == program || stem.rsplit_once('_').is_some_and(|(stem, _)| stem == program)
        };
        for place in ["wasm32-wasip2/release", "debug"].map(|place| self.target().join(place)) {
            for place in [place.clone(), place.join("deps"), place.join(".fingerprint"), place.join("incremental")] {
                for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                    let path = entry.path();
                    if !is_its(&entry.file_name().to_string_lossy()) {
                        continue;
                    }
                    if entry.file_type()?.is_dir() {
                        freed += dirs::size(&path);
                        fs::remove_dir_all(path)?;
                    } else {
                        freed += entry.metadata()?.len();
                        fs::remove_file(path)?;
                    }
                }
            }
        }
        Ok(freed)
    }

    /// The path of the directory.
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    fn sdk(&self) -> PathBuf {
        self.directory.join("guest-sdk")
    }

    /// Writes the SDK's workspace, unless it exists, and returns the SDK's manifest.
    ///
    /// # Errors
    ///
    /// The workspace cannot be written.
    pub(super) fn sdk_package(&self) -> anyhow::Result<PathBuf> {
        let lock = self.directory.join("Cargo.lock");
        let write = || {
            if !lock.exists() {
                fs::write(&lock, LOCK)?;
            }
            update(&self.directory.join("Cargo.toml"), WORKSPACE)
        };
        write().with_context(|| format!("cannot be built in `{}`", self.directory.display()))?;
        Ok(self.sdk().join("Cargo.toml"))
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
            fs::write(directory.join(USED), "")?;
            update(&package.join("Cargo.toml"), &manifest)
        };
        let written = write().and_then(|()| fs::canonicalize(&package));
        let package = written.with_context(|| format!("cannot be built in `{}`", directory.display()))?;
        let source = source.parent().unwrap_or(origin).to_owned();
        Ok(Package { manifest: package.join("Cargo.toml"), directory: package, program, source })
    }
}

/// Removes all build directories below `base`, except for those that a process builds in. Returns how many bytes of disk
/// that freed, and whether there were such.
///
/// # Errors
///
/// A directory cannot be removed.
pub(super) fn clean(base: &Path) -> anyhow::Result<(u64, bool)> {
    let (mut freed, mut in_use) = (0, false);
    if !fs::symlink_metadata(base).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok((freed, in_use));
    }
    for entry in fs::read_dir(base).with_context(|| format!("`{}` cannot be read", base.display()))?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            continue;
        }
        // The lock itself stays: if it were removed, two processes could hold different ones.
        let lock = File::create(path.with_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => freed += dirs::remove(&path)?,
            Err(_) => in_use = true,
        }
    }
    Ok((freed, in_use))
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
