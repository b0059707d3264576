//! The files that a build depends on before it compiles anything: manifests, lock files and configuration.
//!
//! They are found whether the build succeeds or not, because one of them may be what is wrong.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::manifest::Script;
use crate::source::scope::Scope;

/// How many packages are looked at.
const PACKAGES_MAX: usize = 200;

/// Adds what a Rust file is built with to its scope: the packages that it depends on by path, and configuration.
pub(crate) fn add_inputs_of_file(scope: &mut Scope, file: &Path) {
    let directory = file.parent().unwrap_or(file);
    add_configuration(scope, directory);
    let script = fs::read(file).ok().and_then(|text| Script::read(&String::from_utf8_lossy(&text)).ok());
    let declared = script.map(|script| paths(script.declared())).unwrap_or_default();
    add_packages(scope, declared.iter().map(|path| directory.join(path)).collect());
}

/// Adds what the crate in a directory is built with to its scope: its own files, those of the packages that it depends
/// on by path, and configuration.
pub(crate) fn add_inputs_of_package(scope: &mut Scope, directory: &Path) {
    add_configuration(scope, directory);
    for directory in directory.ancestors() {
        // It may become a part of a workspace.
        scope.files.extend(["Cargo.toml", "Cargo.lock"].map(|name| directory.join(name)));
    }
    add_packages(scope, vec![directory.to_owned()]);
}

/// Adds the files that configure cargo and rustup in a directory.
fn add_configuration(scope: &mut Scope, directory: &Path) {
    let names = [".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain"];
    for directory in directory.ancestors() {
        scope.files.extend(names.map(|name| directory.join(name)));
    }
}

/// Adds the packages in these directories, and those that they depend on by path.
fn add_packages(scope: &mut Scope, mut directories: Vec<PathBuf>) {
    let mut seen = BTreeSet::new();
    while let Some(directory) = directories.pop() {
        // Packages may depend on each other by many paths.
        let place = fs::canonicalize(&directory).unwrap_or_else(|_| directory.clone());
        if seen.len() == PACKAGES_MAX || !seen.insert(place) {
            continue;
        }
        scope.files.extend(["Cargo.toml", "build.rs"].map(|name| directory.join(name)));
        scope.trees.insert(directory.join("src"));
        let Some(manifest) = read(&directory) else { continue };
        for path in paths(&manifest) {
            let path = directory.join(path);
            match path.extension().is_some_and(|extension| extension == "rs") {
                true => _ = scope.files.insert(path),
                false => directories.push(path),
            }
        }
        let names = inherited(&manifest);
        let workspace = directory.ancestors().filter(|_| !names.is_empty()).find_map(|root| {
            let workspace = read(root)?.remove("workspace")?;
            Some((root, workspace))
        });
        if let Some((root, workspace)) = workspace {
            let path = |name: &String| workspace.get("dependencies")?.get(name)?.get("path")?.as_str();
            directories.extend(names.iter().filter_map(path).map(|path| root.join(path)));
        }
    }
}

fn read(directory: &Path) -> Option<Table> {
    toml::from_str(&fs::read_to_string(directory.join("Cargo.toml")).ok()?).ok()
}

/// All paths that a manifest names: of packages, programs and build scripts.
fn paths(manifest: &Table) -> Vec<String> {
    let found = manifest.iter().flat_map(|(name, value)| match value {
        Value::String(path) if ["path", "build"].contains(&&**name) => vec![path.clone()],
        Value::Table(inner) if name != "workspace" => paths(inner),
        Value::Array(inner) => inner.iter().filter_map(Value::as_table).flat_map(paths).collect(),
        _ => Vec::new(),
    });
    found.collect()
}

/// The names of the dependencies that a manifest takes from its workspace.
fn inherited(manifest: &Table) -> Vec<String> {
    let found = manifest.iter().flat_map(|(name, value)| match value {
        Value::Table(inner) if inner.get("workspace").and_then(Value::as_bool) == Some(true) => vec![name.clone()],
        Value::Table(inner) => inherited(inner),
        _ => Vec::new(),
    });
    found.collect()
}
