//! Handlers in Rust that the server is to build, and stand-ins for what it builds with.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::place::Place;

/// A handler that says something.
#[must_use]
pub fn handler(says: &str) -> String {
    format!(
        "use wasmserve_guest::{{Environ, handler}};\n\nhandler!(app);\n\n\
         fn app(_environ: Environ) -> &'static str {{\n    \"{says}\"\n}}\n"
    )
}

fn workspace() -> PathBuf {
    fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("it is there")
}

/// A crate with these programs, as one would make it beside a clone; and with a lock, so that nobody asks the registry.
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
    fs::copy(workspace().join("Cargo.lock"), directory.join("Cargo.lock")).expect("there is a lock");
    for (name, says) in programs {
        place.file(&format!("greet/src/{name}"), handler(says));
    }
    directory
}

/// Programs that stand in for those of Rust: the directory where they are.
///
/// # Panics
///
/// They cannot be written.
pub fn tools(place: &Place, scripts: &[(&str, &str)]) -> PathBuf {
    fs::create_dir_all(place.join("tools")).expect("a place is writable");
    for (name, script) in scripts {
        let path = place.file(&format!("tools/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    place.join("tools")
}
