//! The directory that is served, and opening what is below it.
//!
//! Each request opens the directory anew, because builds delete and create it. From there on, only handles count: a path
//! is resolved below the handle (`openat2` with `RESOLVE_BENEATH` on Linux), so that no link and no rename in between
//! leads out of it.

use std::{
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
};

use cap_primitives::{
    ambient_authority,
    fs::{self, FollowSymlinks, OpenOptions},
};

/// A directory that is served, by its absolute path.
pub(super) struct Root(PathBuf);

/// A directory that is served, as it is during one request.
pub(super) struct Opened<'a> {
    path: &'a Path,
    handle: File,
}

/// What a path leads to.
pub(super) enum Entry {
    /// A regular file.
    File(File, Metadata),
    /// A directory.
    Dir(File),
}

/// Why a path cannot be served.
#[derive(Debug)]
pub(super) enum Missing {
    /// There is neither a file nor a directory.
    NotFound,
    /// A link leads out of the root.
    Outside,
    /// The server may not read it.
    Forbidden,
    /// The system failed.
    Failed(io::Error),
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            _ if is_escape(&error) => Self::Outside,
            Kind::PermissionDenied => Self::Forbidden,
            Kind::NotFound | Kind::NotADirectory | Kind::InvalidFilename | Kind::InvalidInput => Self::NotFound,
            _ if is_loop_or_socket(&error) => Self::NotFound,
            _ => Self::Failed(error),
        }
    }
}

/// Whether a path leads out of the root. This error is not the system's, so it has no number.
fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

/// Whether links lead in a circle, or the path is that of a socket, which cannot be opened.
#[cfg(unix)]
fn is_loop_or_socket(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::LOOP, Errno::NXIO].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(not(unix))]
fn is_loop_or_socket(_: &io::Error) -> bool {
    false
}

impl Root {
    /// The directory at an absolute path.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        fs::open_ambient_dir(&path, ambient_authority())?;
        Ok(Self(path))
    }

    /// Opens the directory that is there now.
    ///
    /// # Errors
    ///
    /// See [`Missing`].
    pub(super) fn open(&self) -> Result<Opened<'_>, Missing> {
        let handle = fs::open_ambient_dir(&self.0, ambient_authority())?;
        Ok(Opened { path: &self.0, handle })
    }
}

impl Opened<'_> {
    /// Opens a file or a directory below the root. Does not wait for what is something else, such as a pipe.
    ///
    /// # Errors
    ///
    /// See [`Missing`].
    pub(super) fn entry(&self, path: &Path) -> Result<Entry, Missing> {
        let mut options = OpenOptions::new();
        options.read(true)._cap_fs_ext_maybe_dir(true)._cap_fs_ext_nonblock(true);
        let open = |path: &Path| fs::open(&self.handle, non_empty(path), &options);
        let file = open(path).or_else(|error| open(&self.without_links(path, error)?))?;
        let metadata = file.metadata()?;
        match metadata.file_type() {
            kind if kind.is_dir() => Ok(Entry::Dir(file)),
            kind if kind.is_file() => Ok(Entry::File(file, metadata)),
            _ => Err(Missing::NotFound),
        }
    }

    /// What a path leads to, without opening it.
    ///
    /// # Errors
    ///
    /// As for [`entry()`](Self::entry).
    pub(super) fn metadata(&self, path: &Path) -> Result<fs::Metadata, Missing> {
        let stat = |path: &Path| fs::stat(&self.handle, path, FollowSymlinks::Yes);
        Ok(stat(path).or_else(|error| stat(&self.without_links(path, error)?))?)
    }

    /// The same path without links, if it was refused because it leads out of the root, but comes back into it. Links
    /// with an absolute path do: they cannot be followed from the handle.
    ///
    /// # Errors
    ///
    /// `error`, if this is not so.
    fn without_links(&self, path: &Path, error: io::Error) -> io::Result<PathBuf> {
        let find = || {
            let place = self.path.join(path).canonicalize().ok()?;
            Some(non_empty(place.strip_prefix(self.path.canonicalize().ok()?).ok()?).to_owned())
        };
        if is_escape(&error) { find().ok_or(error) } else { Err(error) }
    }
}

/// The path, or `.` for the root itself.
fn non_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
