//! Where compiled components are kept, and which components are known to compile.

use std::{
    fs::{self, DirEntry, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use wasmtime::{Cache, CacheConfig};

use crate::config::{Dir, Grants};

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

/// A directory of that name among ours in the user's cache directory, which nobody else can read or write.
///
/// # Errors
///
/// There is no cache directory, or it is somebody else's.
pub(crate) fn cache_directory(name: &str) -> anyhow::Result<PathBuf> {
    let Some(ours) = directory() else {
        bail!("has no cache directory to be built in; set HOME or XDG_CACHE_HOME");
    };
    let directory = ours.join(name);
    for private in [&ours, &directory] {
        make_private(private).with_context(|| format!("`{}`", private.display()))?;
    }
    Ok(directory)
}

/// Our own in the user's cache directory, if there is one.
fn directory() -> Option<PathBuf> {
    let from = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = from("XDG_CACHE_HOME")
        // Windows has the user's own place for it, and hardly ever a HOME.
        .or_else(|| from("LOCALAPPDATA").filter(|_| cfg!(windows)))
        .or_else(|| from("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("wasmserve"))
}

/// The granted directory by which a handler could change what is kept for the user, and where that is. It is run with all the
/// user's rights: what was compiled, and what the next build builds.
pub(crate) fn is_open_to(grants: &Grants) -> Option<(&Dir, PathBuf)> {
    let ours = directory()?;
    let above: Vec<PathBuf> = ours.ancestors().filter_map(|above| above.canonicalize().ok()).collect();
    let is_open = |dir: &&Dir| {
        let Ok(host) = dir.host.canonicalize() else { return false };
        // It is inside of the directory, or the directory is inside of it.
        above.iter().any(|above| above.starts_with(&host))
            || ours.canonicalize().is_ok_and(|ours| host.starts_with(ours))
    };
    let dir = grants.dirs.iter().filter(|dir| !dir.read_only).find(is_open)?;
    Some((dir, ours))
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

/// Makes a directory that no other user can read, write or replace, unless it is there.
///
/// # Errors
///
/// It cannot be made, belongs to another user, or is where others could put another one in its place.
#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    let parent = directory.parent().unwrap_or(directory);
    check_above(parent)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // Where links have led to.
    check_above(&fs::canonicalize(parent)?)?;
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused("it is not a directory of yours".into()));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        // What is in it may be theirs, and it would be run. If it cannot be removed, it takes room and nothing else.
        let old = directory.with_extension(format!("open-{}", std::process::id()));
        fs::rename(directory, &old)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        _ = fs::remove_dir_all(old);
    } else if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(unix)]
const OTHERS_WRITE: u32 = 0o022;

/// Makes sure that only the user and the administrator can replace a directory or one above it.
#[cfg(unix)]
fn check_above(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    const GROUP_WRITES: u32 = 0o020;
    const STICKY: u32 = 0o1000;
    let is_trusted = |uid: u32| uid == 0 || uid == rustix::process::geteuid().as_raw();
    for above in directory.ancestors().filter(|above| !above.as_os_str().is_empty()) {
        // One that is not there yet is going to be ours.
        let (Ok(entry), Ok(metadata)) = (fs::symlink_metadata(above), fs::metadata(above)) else { continue };
        if !is_trusted(entry.uid()) || !is_trusted(metadata.uid()) {
            return Err(refused(format!(
                "`{}` belongs to another user, who could put code there; set XDG_CACHE_HOME to a directory of yours",
                above.display()
            )));
        }
        // Many users have a group of their own.
        let is_our_group = metadata.gid() == rustix::process::getegid().as_raw();
        let others = if is_our_group { OTHERS_WRITE & !GROUP_WRITES } else { OTHERS_WRITE };
        if metadata.mode() & others != 0 && metadata.mode() & STICKY == 0 {
            return Err(refused(format!(
                "others can write to `{0}`, and so could put code there; chmod go-w `{0}`, or set XDG_CACHE_HOME to a \
                 directory of yours",
                above.display()
            )));
        }
    }
    Ok(())
}

#[cfg(unix)]
fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(not(unix))]
fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
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
