//! Where a command writes its result, as the user named it.
//!
//! A regular file is replaced as a whole or not at all, because a server may be serving it. Anything else is written
//! into, as a shell's `>` does: replacing a device or a FIFO would destroy it. Links are followed, and stay.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, anyhow, bail};

/// How many links are followed, as in Linux.
const LINKS_MAX: usize = 40;

/// How many files of killed processes with our id are passed over.
const LEFT_OVER_MAX: u32 = 100;

/// Where a command writes its result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// This process's stdout, whose position and mode the user's shell has set.
    Stdout,
    /// A regular file, or one that does not exist yet.
    File {
        /// The file's own path, which is no link.
        path: PathBuf,
        /// The path that the user named.
        named: PathBuf,
    },
    /// Something that exists and is written into: a device, a FIFO or a descriptor of a process.
    Into(PathBuf),
}

impl Output {
    /// Finds out what a path leads to. `-` is stdout. Nothing is written yet, so that a mistake is reported before the
    /// work that makes the result.
    ///
    /// # Errors
    ///
    /// The path cannot be written: it is a directory or a socket, its directory does not exist, or access is denied.
    pub(crate) fn at(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        Self::find(path).with_context(|| format!("`{}` cannot be written", path.display()))
    }

    fn find(named: &Path) -> anyhow::Result<Self> {
        let path = match follow(named)? {
            Target::Path(path) => path,
            Target::Stdout => return Ok(Self::Stdout),
            Target::Descriptor(path) => return Ok(Self::Into(path)),
        };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => bail!("it is a directory; name a file in it"),
            Ok(metadata) if is_socket(&metadata) => bail!("it is a socket; name a file"),
            Ok(metadata) if metadata.is_file() => {
                // Whether it may be written is for the system to decide, which distrusts links that others put into
                // `/tmp`.
                OpenOptions::new().write(true).open(named)?;
                Ok(Self::File { path: fs::canonicalize(&path)?, named: named.to_owned() })
            }
            Ok(_) => Ok(Self::Into(named.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if is_written_as_directory(&path) || !parent(&path).is_dir() {
                    bail!("its directory does not exist; create it first");
                }
                Ok(Self::File { path, named: named.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether this is stdout, and a person looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        *self == Self::Stdout && io::stdout().is_terminal()
    }

    /// Whether writing would overwrite this file.
    pub(crate) fn is(&self, file: &Path) -> bool {
        matches!(self, Self::File { path, .. } if fs::canonicalize(file).is_ok_and(|file| file == *path))
    }

    /// Writes the result. Blocks until a FIFO has a reader, and calls `waiting` before if it has none yet.
    ///
    /// A regular file keeps its permissions and its owner. It is replaced by a new one, so other hard links to it keep
    /// the old content. Where that is impossible, as in a directory that is read-only, the file itself is overwritten.
    ///
    /// # Errors
    ///
    /// Not everything could be written. A regular file then has its old content, unless it had to be overwritten.
    pub(crate) fn write(&self, bytes: &[u8], waiting: impl FnOnce()) -> anyhow::Result<()> {
        let (name, written) = match self {
            Self::Stdout => ("stdout".to_owned(), print(bytes)),
            Self::Into(path) => (format!("`{}`", path.display()), write_into(path, bytes, waiting)),
            Self::File { path, named } => (format!("`{}`", named.display()), write_file(path, named, bytes)),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(anyhow!("{name} cannot be written: its reader closed it before the end"))
            }
            written => written.with_context(|| format!("{name} cannot be written")),
        }
    }
}

/// Writes all bytes to stdout.
///
/// # Errors
///
/// Stdout is closed, or its device is full.
pub(crate) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Creates a file that must not exist yet. Nothing is left behind if that fails.
///
/// # Errors
///
/// The path exists, if only as a link that leads nowhere; or the file cannot be written.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let written = file.write_all(bytes);
    if written.is_err() {
        // Ignored, because removing it may fail for the same reason.
        _ = fs::remove_file(path);
    }
    written
}

/// Replaces a regular file, or creates it, so that a reader sees the old content or the new one. Permissions and owner
/// stay the same. The path must not be a link, because it would be replaced itself.
///
/// # Errors
///
/// The file cannot be written, or its owner cannot be kept. It has its old content.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (new, mut file) = create_beside(path)?;
    let mut write = || {
        file.write_all(bytes)?;
        if let Ok(old) = fs::metadata(path) {
            keep_owner(&new, &old)?;
            fs::set_permissions(&new, old.permissions())?;
        }
        fs::rename(&new, path)
    };
    let written = write();
    if written.is_err() {
        // Ignored, because removing it may fail for the same reason.
        _ = fs::remove_file(&new);
    }
    written
}

/// Creates a file in the directory of another one. Its name is short, because file systems limit the length of names, and
/// numbered, because in a container the process has the same id each time.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = 0;
    loop {
        let new = parent(path).join(format!(".wasmserve-{}-{number}", process::id()));
        match File::create_new(&new) {
            Ok(file) => return Ok((new, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < LEFT_OVER_MAX => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn write_file(path: &Path, named: &Path, bytes: &[u8]) -> io::Result<()> {
    let is_new = !path.exists();
    if is_new && named.is_symlink() {
        // Created by the system, for the same reason as above.
        OpenOptions::new().write(true).create(true).truncate(false).open(named)?;
    }
    match replace(path, bytes) {
        Err(error) if is_new => {
            _ = fs::remove_file(path);
            Err(error)
        }
        Err(error) if !is_full(&error) => fs::write(path, bytes),
        replaced => replaced,
    }
}

/// What a path leads to.
enum Target {
    Stdout,
    /// A descriptor of a process, which Linux shows as a link whose text must not be followed.
    Descriptor(PathBuf),
    /// A path that is no link. It need not exist.
    Path(PathBuf),
}

fn follow(path: &Path) -> anyhow::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if let Some(descriptors) = descriptors(&path) {
            let ours = fs::canonicalize("/proc/self").unwrap_or_default();
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => bail!("it is a directory; name a file in it"),
                Ok(_) if path.file_name().is_some_and(|name| name == "1") && descriptors.starts_with(ours) => {
                    return Ok(Target::Stdout);
                }
                Ok(metadata) if is_socket(&metadata) => bail!("it is a socket; name a file"),
                Ok(_) => return Ok(Target::Descriptor(path)),
                Err(_) => bail!("no such descriptor is open"),
            }
        }
        match fs::read_link(&path) {
            Ok(target) => path = parent(&path).join(target),
            Err(_) => return Ok(Target::Path(path)),
        }
    }
    bail!("it is a circle of links")
}

/// The directory of a path if it lists a process's descriptors. `/dev/stdout` and `/dev/fd` are links to there.
fn descriptors(path: &Path) -> Option<PathBuf> {
    let directory = fs::canonicalize(parent(path)).ok()?;
    (directory.starts_with("/proc") && directory.ends_with("fd")).then_some(directory)
}

/// Writes into something that exists. A regular file behind a descriptor is appended to: its opener has emptied
/// it or wants to keep what is in it.
fn write_into(path: &Path, bytes: &[u8], waiting: impl FnOnce()) -> io::Result<()> {
    open(path, waiting)?.write_all(bytes)
}

/// Opens something to append to it. Only by asking not to wait can one know that a FIFO has no reader; where it has one,
/// the same descriptor is used, because the reader would take its end for the end of the result.
#[cfg(unix)]
fn open(path: &Path, waiting: impl FnOnce()) -> io::Result<File> {
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};

    use rustix::{
        fs::{OFlags, fcntl_getfl, fcntl_setfl},
        io::Errno,
    };

    if fs::metadata(path)?.file_type().is_fifo() {
        let at_once = OFlags::NONBLOCK.bits().cast_signed();
        match OpenOptions::new().append(true).custom_flags(at_once).open(path) {
            Ok(file) => {
                fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
                return Ok(file);
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => waiting(),
            Err(error) => return Err(error),
        }
    }
    OpenOptions::new().append(true).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path, _: impl FnOnce()) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// The directory of a path.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Whether a path ends in a separator.
pub(crate) fn is_written_as_directory(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().last().is_some_and(|last| std::path::is_separator(char::from(*last)))
}

/// Whether there was no space. Overwriting the old file would then only destroy it.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(unix)]
fn keep_owner(new: &Path, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let own = fs::metadata(new)?;
    if (own.uid(), own.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    chown(new, Some(old.uid()), Some(old.gid()))
}

#[cfg(unix)]
fn is_socket(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    metadata.file_type().is_socket()
}

#[cfg(not(unix))]
fn keep_owner(_: &Path, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn is_socket(_: &Metadata) -> bool {
    false
}
