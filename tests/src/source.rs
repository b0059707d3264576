//! Handlers in Rust for the server to build, and stand-ins for the tools that it builds with.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::place::Place;

/// The source of a handler that answers with this text.
#[must_use]
pub fn handler(text: &str) -> String {
    format!(
        "use wasmserve_guest::{{Environ, handler}};\n\nhandler!(app);\n\n\
         fn app(_environ: Environ) -> &'static str {{\n    \"{text}\"\n}}\n"
    )
}

fn workspace() -> PathBuf {
    fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("the workspace exists")
}

/// A crate with these programs, as a user would create it next to a clone of this repository. It has a lock file, so
/// that cargo does not ask the registry.
///
/// # Panics
///
/// It cannot be written.
pub fn krate(place: &Place, manifest: &str, programs: &[(&str, &str)]) -> PathBuf {
    let directory = place.join("greet");
    fs::create_dir_all(directory.join("src/bin")).expect("a place is writable");
    let sdk = workspace().join("guest-sdk");
    let dependencies = format!("[dependencies]\nwasmserve-guest.path = {sdk:?}\n\n[workspace]\n");
    place.file(
        "greet/Cargo.toml",
        format!("[package]\nname = \"greet\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{manifest}\n{dependencies}"),
    );
    fs::copy(workspace().join("Cargo.lock"), directory.join("Cargo.lock")).expect("the workspace has a lock file");
    for (name, text) in programs {
        place.file(&format!("greet/src/{name}"), handler(text));
    }
    directory
}

/// Stand-ins for programs of the Rust toolchain. Returns their directory.
///
/// # Panics
///
/// They cannot be written.
pub fn tools(place: &Place, scripts: &[(&str, &str)]) -> PathBuf {
    fs::create_dir_all(place.join("tools")).expect("a place is writable");
    for (name, script) in scripts {
        let path = place.file(&format!("tools/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("we own the file");
    }
    place.join("tools")
}
