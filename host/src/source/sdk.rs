//! The SDK's sources, inside of this program: handlers can be built wherever it is, and the two always fit.

use std::{fs, io, path::Path};

/// The files of the package `wasmserve-guest`: the path of each below the package's directory, with `/`, and its text.
///
/// The manifest needs no workspace.
pub(crate) const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// Writes the package into a directory, which is made with all above it if it is not there.
///
/// Files of the same names are overwritten, others stay.
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
    fn the_package_stands_alone() {
        let text = |name: &str| FILES.iter().find(|(path, _)| *path == name).map(|(_, text)| *text);
        let manifest = text("Cargo.toml").expect("it has a manifest");
        assert!(manifest.starts_with("[package]\nname = \"wasmserve-guest\"\n"), "{manifest}");
        assert!(!manifest.contains("workspace") && !manifest.contains("path"), "{manifest}");
        assert!(manifest.contains(concat!("\nversion = \"", env!("CARGO_PKG_VERSION"), "\"\n")), "{manifest}");
        assert!(text("src/lib.rs").is_some_and(|text| text.contains("pub mod bindings;")));
        assert!(text("src/bindings.rs").is_some());
    }
}
