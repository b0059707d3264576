//! `--port-file`: a file that contains the port while the server listens.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, bail};

/// A file that contains the port. Dropping this removes the file.
pub(super) struct PortFile {
    path: PathBuf,
    content: String,
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
        if !may_replace(&path) {
            bail!("{}: a file with other content exists there; remove it, or choose another name", named());
        }
        let content = format!("{port}\n");
        let mut part = path.clone().into_os_string();
        part.push(format!(".{}", process::id()));
        let part = PathBuf::from(part);
        let written = File::create_new(&part)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .and_then(|()| fs::rename(&part, &path));
        if written.is_err() {
            // Ignored, because removing it may fail for the same reason.
            _ = fs::remove_file(&part);
        }
        written.with_context(named)?;
        Ok(Self { path, content })
    }
}

/// Whether the path is free, or has the port file of a server that was killed. Any other file must survive a mistyped
/// path.
fn may_replace(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        // If the path exists but cannot be examined, replacing it will fail as well.
        Err(_) => true,
        Ok(metadata) if !metadata.is_file() || metadata.len() > 6 => false,
        Ok(_) => fs::read_to_string(path).is_ok_and(|text| text.chars().all(|c| c.is_ascii_digit() || c == '\n')),
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        // Another server may have taken the name.
        if fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            // Nothing can be done if this fails.
            _ = fs::remove_file(&self.path);
        }
    }
}
