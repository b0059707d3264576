//! From a handler's source to a component, by cargo: of one file, or of a crate.
//!
//! A file is built in a package of its own in the user's cache directory, with the SDK that is inside of this program.
//! Building runs what the source brings along, build scripts and macros, with all the user's rights: it is the handler that
//! is in the sandbox, and not its making.

mod cargo;
mod directory;
mod failure;
mod manifest;
pub(crate) mod options;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};

pub(crate) use self::failure::Failure;
use self::{
    cargo::{Built, Cargo},
    directory::BuildDirectory,
    manifest::Script,
    options::BuildOptions,
};

/// A component, and what it was built from.
#[derive(Debug)]
pub(crate) struct Component {
    /// The bytes of its file.
    pub bytes: Vec<u8>,
    /// The name of its program.
    pub name: String,
    /// The files that it was built from, as far as they may change.
    pub sources: Vec<PathBuf>,
}

/// Builds a handler that is one file. Blocks for as long as that takes; what the compiler says is passed on to stderr.
///
/// # Errors
///
/// It does not build, or cannot be built here.
pub(crate) fn file(path: &Path, options: &BuildOptions) -> Result<Component, Failure> {
    let file = std::path::absolute(path)?;
    let directory = file.parent().unwrap_or(&file);
    // What is wrong with it can be told before anything is waited for.
    let text = fs::read(&file).context("cannot be read")?;
    let script = Script::read(&String::from_utf8_lossy(&text))?;
    let builds = BuildDirectory::enter(|| tell("another build has to end first .."))?;
    let package = builds.package(&file, &script)?;
    let target = builds.target();
    if !target.exists() {
        cargo::add_target(directory)?;
    }
    let typed = path.parent().unwrap_or(path);
    let cargo = Cargo {
        directory,
        manifest: &package.manifest,
        program: &package.program,
        target: Some(target),
        // The compiler runs in the package, and stacks would name that before the file.
        renamed: &[(&package.source, typed), (&package.directory, Path::new(""))],
        lines: options.lines,
        color: options.color,
    };
    let Built { component, mut sources } = cargo.build()?;
    sources.retain(|source| !source.starts_with(builds.path()));
    // The next that is built here may have the same name, so it is read before the lock is given back.
    Ok(Component { bytes: fs::read(component)?, name: package.program, sources })
}

/// Builds a handler that is a crate, given by its directory, as `cargo build --release` would. Blocks as [`file()`] does.
///
/// # Errors
///
/// As for [`file()`]; or it is not clear which of its programs is meant.
pub(crate) fn package(path: &Path, options: &BuildOptions) -> Result<Component, Failure> {
    // As cargo names it.
    let directory = fs::canonicalize(path).context("cannot be read")?;
    let manifest = directory.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(anyhow!("is a directory without a Cargo.toml; name a component, a Rust file or a crate").into());
    }
    let program = cargo::program(&directory, &manifest)?;
    let cargo = Cargo {
        directory: &directory,
        manifest: &manifest,
        program: &program,
        target: None,
        renamed: &[],
        lines: options.lines,
        color: options.color,
    };
    let Built { component, sources } = cargo.build()?;
    Ok(Component { bytes: fs::read(component)?, name: program, sources })
}

fn tell(line: &str) {
    use std::io::Write as _;
    // If nobody reads it, building goes on.
    _ = writeln!(std::io::stderr(), "wasmserve: {line}");
}
