//! The SDK's sources, embedded so that handlers can be built anywhere with a matching SDK.

use std::{fs, io, path::Path};

/// The files of the package `wasmserve-guest`: each file's path, relative to the package and with `/`, and its text.
///
/// The manifest does not depend on a workspace.
pub(crate) const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// Writes the package into a directory, creating it and its parents as needed.
///
/// Overwrites files of the same names and keeps others.
///
/// # Errors
///
/// A directory or a file cannot be written.
pub(crate) fn write(directory: &Path) -> io::Result<()> {
    for (name, text) in FILES {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_does_not_depend_on_the_workspace() {
        let text = |name: &str| FILES.iter().find(|(path, _)| *path == name).map(|(_, text)| *text);
        let manifest = text("Cargo.toml").expect("the package has a manifest");
        assert!(manifest.starts_with("[package]\nname = \"wasmserve-guest\"\n"), "{manifest}");
        assert!(!manifest.contains("workspace") && !manifest.contains("path"), "{manifest}");
        assert!(manifest.contains(concat!("\nversion = \"", env!("CARGO_PKG_VERSION"), "\"\n")), "{manifest}");
        assert!(text("src/lib.rs").is_some_and(|text| text.contains("pub mod bindings;")));
        assert!(text("src/bindings.rs").is_some());
    }
}
