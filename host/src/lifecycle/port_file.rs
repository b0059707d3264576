//! The file that tells others the port.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, bail};

/// A file that says the port, until this is dropped.
pub(super) struct PortFile {
    path: PathBuf,
    content: String,
}

impl PortFile {
    /// Writes it: the port in decimal digits and a line end. Whoever reads the file finds all of it, or no file.
    ///
    /// # Errors
    ///
    /// It cannot be written, or there is a file of that name which is no port file.
    pub(super) fn write(path: PathBuf, port: u16) -> anyhow::Result<Self> {
        let named = || format!("cannot write `{}` (--port-file)", path.display());
        if !may_replace(&path) {
            bail!("{}: there is something else of that name; remove it, or choose another one", named());
        }
        let content = format!("{port}\n");
        let mut part = path.clone().into_os_string();
        part.push(format!(".{}", process::id()));
        let part = PathBuf::from(part);
        let written = File::create_new(&part)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .and_then(|()| fs::rename(&part, &path));
        if written.is_err() {
            // What cannot be written often cannot be removed either.
            _ = fs::remove_file(&part);
        }
        written.with_context(named)?;
        Ok(Self { path, content })
    }
}

/// Whether there is nothing there, or what a server has left behind that was killed. Anything else is somebody's file, and a
/// slip of the pen must not cost it.
fn may_replace(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        // If it is there and cannot be looked at, it cannot be replaced either.
        Err(_) => true,
        Ok(metadata) if !metadata.is_file() || metadata.len() > 6 => false,
        Ok(_) => fs::read_to_string(path).is_ok_and(|text| text.chars().all(|c| c.is_ascii_digit() || c == '\n')),
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        // Another server may have taken the name.
        if fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            // If it cannot be removed, nobody can be helped.
            _ = fs::remove_file(&self.path);
        }
    }
}
