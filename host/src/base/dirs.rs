//! Directories in the user's cache that only the user can write to, and those that the user's environment names.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::grants::{Dir, Grants};

/// The subdirectory `name` of our cache directory, created if needed, with access for the user only.
///
/// # Errors
///
/// There is no cache directory, or it belongs to another user.
pub(crate) fn cache_directory(name: &str) -> anyhow::Result<PathBuf> {
    let Some(ours) = directory() else {
        bail!("cannot be built without a cache directory; set HOME or XDG_CACHE_HOME");
    };
    let directory = ours.join(name);
    for private in [&ours, &directory] {
        make_private(private).with_context(|| format!("`{}`", private.display()))?;
    }
    Ok(directory)
}

/// Removes a directory of our cache with everything in it, if it exists. Returns how many bytes of disk that freed.
///
/// Links are not followed: one in the place of the directory stays, and one inside is removed itself.
///
/// # Errors
///
/// Something cannot be removed.
pub(crate) fn remove(directory: &Path) -> anyhow::Result<u64> {
    if !fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(0);
    }
    let size = size(directory);
    match fs::remove_dir_all(directory) {
        // Another process may have removed it, or parts of it.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("`{}` cannot be removed", directory.display()))
        }
        _ => Ok(size),
    }
}

/// How many bytes of disk a directory takes, with everything in it. Links are not followed, and a file with several names
/// counts once.
pub(crate) fn size(directory: &Path) -> u64 {
    fn add(directory: &Path, seen: &mut HashSet<u64>) -> u64 {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        // An entry that is removed meanwhile has no size.
        let sizes = entries.filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() { add(&entry.path(), seen) } else { on_disk(&metadata, seen) })
        });
        sizes.sum()
    }
    add(directory, &mut HashSet::new())
}

#[cfg(unix)]
fn on_disk(metadata: &fs::Metadata, seen: &mut HashSet<u64>) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let is_new = metadata.nlink() == 1 || seen.insert(metadata.ino());
    // The unit of this field, whatever that of the file system is.
    if is_new { metadata.blocks() * 512 } else { 0 }
}

#[cfg(not(unix))]
fn on_disk(metadata: &fs::Metadata, _: &mut HashSet<u64>) -> u64 {
    metadata.len()
}

/// Our directory inside the user's cache directory, or `None` if neither XDG_CACHE_HOME nor HOME is set.
pub(crate) fn directory() -> Option<PathBuf> {
    let from = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = from("XDG_CACHE_HOME")
        // Windows has the user's own place for it, and hardly ever a HOME.
        .or_else(|| from("LOCALAPPDATA").filter(|_| cfg!(windows)))
        .or_else(|| from("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("wasmserve"))
}

/// The virtual environment of Python that the user has activated, if any.
pub(crate) fn virtual_environment() -> Option<PathBuf> {
    std::env::var_os("VIRTUAL_ENV").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The program with this name that a shell would run. Relative directories do not count: anything could be in them.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let directories = std::env::var_os("PATH")?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let mut programs =
        std::env::split_paths(&directories).filter(|path| path.is_absolute()).map(|path| path.join(&file));
    programs.find(|path| path.is_file())
}

/// The first granted directory through which a handler could modify our cache directory, with the cache directory's
/// path. The cache holds compiled code and build directories, which run with all of the user's rights.
pub(crate) fn is_open_to(grants: &Grants) -> Option<(&Dir, PathBuf)> {
    let ours = directory()?;
    let above: Vec<PathBuf> = ours.ancestors().filter_map(|above| above.canonicalize().ok()).collect();
    let is_open = |dir: &&Dir| {
        let Ok(host) = dir.host.canonicalize() else { return false };
        // Either the cache lies inside the granted directory, or the other way round.
        above.iter().any(|above| above.starts_with(&host))
            || ours.canonicalize().is_ok_and(|ours| host.starts_with(ours))
    };
    let dir = grants.dirs.iter().filter(|dir| !dir.read_only).find(is_open)?;
    Some((dir, ours))
}

/// Creates a directory that no other user can read, write or replace, unless it exists.
///
/// # Errors
///
/// It cannot be created, belongs to another user, or is in a place where others could replace it.
#[cfg(unix)]
pub(crate) fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    let parent = directory.parent().unwrap_or(directory);
    check_above(parent)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // The path may contain symbolic links; check the real parents too.
    check_above(&fs::canonicalize(parent)?)?;
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused("it is not a directory that you own".into()));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        // Its contents may come from others, and would be executed. If it cannot be removed, it only takes up space.
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

/// Checks that only the user and root can replace a directory or any of its parents.
#[cfg(unix)]
fn check_above(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    const GROUP_WRITES: u32 = 0o020;
    const STICKY: u32 = 0o1000;
    let is_trusted = |uid: u32| uid == 0 || uid == rustix::process::geteuid().as_raw();
    for above in directory.ancestors().filter(|above| !above.as_os_str().is_empty()) {
        // A directory that does not exist yet will be created by us.
        let (Ok(entry), Ok(metadata)) = (fs::symlink_metadata(above), fs::metadata(above)) else { continue };
        if !is_trusted(entry.uid()) || !is_trusted(metadata.uid()) {
            return Err(refused(format!(
                "`{}` belongs to another user, who could put code there; set XDG_CACHE_HOME to a directory you own",
                above.display()
            )));
        }
        // Many systems give each user a private group.
        let is_our_group = metadata.gid() == rustix::process::getegid().as_raw();
        let others = if is_our_group { OTHERS_WRITE & !GROUP_WRITES } else { OTHERS_WRITE };
        if metadata.mode() & others != 0 && metadata.mode() & STICKY == 0 {
            return Err(refused(format!(
                "other users can write to `{0}` and could put code there; run `chmod go-w {0}`, or set XDG_CACHE_HOME to a \
                 directory you own",
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
pub(crate) fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}
