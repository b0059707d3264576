//! `wasmserve wit`: writes the contract between server and handlers, for tools of other languages.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context as _, bail};

use crate::base::{contract, output};

/// Returns the contract as one text; or writes it into a directory, which is created, and returns a text with the next
/// step.
///
/// # Errors
///
/// A file cannot be written, or exists with another content. Files that exist are left as they are.
pub(crate) fn wit(directory: Option<&Path>) -> anyhow::Result<String> {
    let Some(directory) = directory else { return Ok(contract::text()) };
    let shown = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("`{shown}` cannot be created"))?;
    for (name, text) in contract::FILES {
        let file = directory.join(name);
        match output::create(&file, text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if fs::read(&file).is_ok_and(|old| old != text.as_bytes()) {
                    bail!("`{}` already exists with other content; choose another directory", file.display());
                }
            }
            written => written.with_context(|| format!("`{}` cannot be written", file.display()))?,
        }
    }
    Ok(format!("`{shown}` has the contract: build a component for its world `application`\n"))
}
