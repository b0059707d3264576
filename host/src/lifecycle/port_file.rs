//! `--port-file`: a file that contains the port while the server listens.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::base::output;

/// A file that contains the port. Dropping this removes the file.
pub(super) struct PortFile {
    path: PathBuf,
    content: String,
    /// The open file. Its inode cannot be used for another file as long as it is open.
    file: File,
}

impl PortFile {
    /// Writes the port in decimal digits and a newline. The file appears atomically, so a reader never sees a part of
    /// it.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or a file that is not a port file has that name.
    pub(super) fn write(path: PathBuf, port: u16) -> anyhow::Result<Self> {
        let named = || format!("cannot write `{}` (--port-file)", path.display());
        if let Some(why) = why_not(&path) {
            bail!("{}: {why}; remove it, or choose another name", named());
        }
        let content = format!("{port}\n");
        output::replace(&path, content.as_bytes()).with_context(named)?;
        let file = File::open(&path).with_context(named)?;
        Ok(Self { path, content, file })
    }
}

/// Why there must be no port file at a path, unless it is free or has the port file of a server that was killed. Anything
/// else must survive a mistyped path.
fn why_not(path: &Path) -> Option<&'static str> {
    match fs::symlink_metadata(path) {
        // If the path exists but cannot be examined, replacing it will fail as well.
        Err(_) => None,
        Ok(metadata) if metadata.is_dir() => Some("a directory exists there"),
        Ok(metadata) if metadata.is_symlink() => Some("a link exists there"),
        Ok(metadata) if !metadata.is_file() => Some("something that is not a regular file exists there"),
        Ok(metadata) if metadata.len() <= PORT_FILE_MAX && is_port_file(path) => None,
        Ok(_) => Some("a file with other content exists there"),
    }
}

/// The length of the longest port file in bytes.
const PORT_FILE_MAX: u64 = 6;

fn is_port_file(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.chars().all(|c| c.is_ascii_digit() || c == '\n'))
}

impl Drop for PortFile {
    fn drop(&mut self) {
        // Another server may have taken the name, even with the same port, which was free as soon as this one stopped
        // to accept.
        if is_same(&self.file, &self.path)
            && fs::read_to_string(&self.path).is_ok_and(|content| content == self.content)
        {
            // Nothing can be done if this fails.
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a path leads to this very file, and not to one that has replaced it.
#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let ours = file.metadata().map(identity);
    fs::symlink_metadata(path).map(identity).is_ok_and(|there| ours.is_ok_and(|ours| ours == there))
}

/// Always true: this system does not identify files.
#[cfg(not(unix))]
fn is_same(_: &File, _: &Path) -> bool {
    true
}
