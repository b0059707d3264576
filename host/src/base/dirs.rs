//! The directories that are kept for the user.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::grants::{Dir, Grants};

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
pub(crate) fn directory() -> Option<PathBuf> {
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

/// Makes a directory that no other user can read, write or replace, unless it is there.
///
/// # Errors
///
/// It cannot be made, belongs to another user, or is where others could put another one in its place.
#[cfg(unix)]
pub(crate) fn make_private(directory: &Path) -> io::Result<()> {
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
pub fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}
