//! Builds a component with cargo, from a single Rust file or from a crate.
//!
//! A file is built in a package of its own in the user's cache directory, with the SDK that is embedded in this
//! program. Building runs the source's build scripts and macros with all the user's rights: the handler is sandboxed,
//! its build is not.

mod cargo;
mod dep_info;
mod directory;
mod failure;
mod freshness;
mod inputs;
mod lexer;
mod manifest;
mod mentions;
pub(crate) mod options;
mod phrases;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use anyhow::{Context as _, anyhow};

use self::{
    cargo::{Built, Cargo},
    directory::BuildDirectory,
    manifest::Script,
    options::{BuildOptions, Messages},
};
pub(crate) use self::{
    failure::Failure,
    inputs::{add_inputs_of_file, add_inputs_of_package},
};

/// A component, and what it was built from.
#[derive(Debug)]
pub(crate) struct Component {
    /// The bytes of the component's file.
    pub bytes: Vec<u8>,
    /// The name of the program that cargo built.
    pub name: String,
    /// The files that it was built from, except for those that never change.
    pub sources: Vec<PathBuf>,
}

/// Builds a handler that is one file, by its absolute path. Messages show it as it was `typed`. Blocks until cargo has
/// finished; passes the compiler's messages on to stderr.
///
/// # Errors
///
/// The file does not build, or cannot be built on this machine.
pub(crate) fn file(file: &Path, typed: &Path, options: &BuildOptions) -> Result<Component, Failure> {
    let (directory, messages) = (file.parent().unwrap_or(file), &options.messages);
    check_text(file)?;
    // Read first, so that an error in it is reported without waiting for another build.
    let text = fs::read(file).context("cannot be read")?;
    let script = Script::read(&String::from_utf8_lossy(&text))?;
    let builds = BuildDirectory::enter(|| messages.report("waiting for another build to finish…"))?;
    check_text(builds.path())?;
    let package = builds.package(file, &script)?;
    let target = builds.target();
    if !target.exists() {
        cargo::add_target(directory, messages)?;
    }
    let typed = typed.parent().unwrap_or(typed);
    let cargo = Cargo {
        directory,
        manifest: &package.manifest,
        program: &package.program,
        output: &target,
        has_own_output: true,
        // The compiler runs in the package, and its path would precede the file's in stacks.
        renamed: &[(&package.source, typed), (&package.directory, Path::new(""))],
        lines: options.lines,
        messages,
    };
    let is_ours = |source: &PathBuf| source.starts_with(builds.path());
    let built = cargo.build().map_err(|mut failure| {
        failure.sources.retain(|source| !is_ours(source));
        // With frontmatter a copy is compiled, and modules are looked for beside it.
        failure.sources.extend(mentions::of(file));
        failure
    });
    let Built { component, mut sources } = built?;
    sources.retain(|source| !is_ours(source));
    // Read before the lock is released, because the next component built here may have the same name.
    Ok(Component { bytes: fs::read(component)?, name: package.program, sources })
}

/// Builds the crate in a directory, as `cargo build --release` would. Blocks until cargo has finished.
///
/// # Errors
///
/// As for [`file()`]; or the crate has several programs and does not set `default-run`.
pub(crate) fn package(path: &Path, options: &BuildOptions) -> Result<Component, Failure> {
    let messages = &options.messages;
    // The path as cargo prints it.
    let directory = fs::canonicalize(path).context("cannot be read")?;
    check_text(&directory)?;
    let manifest = directory.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(anyhow!("is a directory without a Cargo.toml; name a component, a Rust file or a crate").into());
    }
    let (program, output) = cargo::program(&directory, &manifest, messages)?;
    let cargo = Cargo {
        directory: &directory,
        manifest: &manifest,
        program: &program,
        output: &output,
        has_own_output: false,
        renamed: &[],
        lines: options.lines,
        messages,
    };
    let built = cargo.build().map_err(|mut failure| {
        failure.sources.extend(mentions::of(&directory.join("src")));
        failure
    });
    let Built { component, sources } = built?;
    Ok(Component { bytes: fs::read(component)?, name: program, sources })
}

/// Checks that cargo can be given a path, which has to be UTF-8.
fn check_text(path: &Path) -> anyhow::Result<()> {
    let remedy = "rename it, or set XDG_CACHE_HOME if it is the cache";
    path.to_str().map(|_| ()).with_context(|| {
        format!("cannot be built: the path `{}` is not UTF-8, which cargo needs; {remedy}", path.display())
    })
}

/// Removes everything that was built below `base`, except for what is being built. Returns how many bytes of disk that
/// freed, and whether something is being built.
///
/// # Errors
///
/// A directory cannot be removed.
pub(crate) fn clean(base: &Path) -> anyhow::Result<(u64, bool)> {
    directory::clean(base)
}

/// Builds the documentation of the SDK that this program contains, and returns the path of its first page. Blocks until
/// cargo has finished; passes its messages on to stderr.
///
/// # Errors
///
/// Cargo is missing, or cannot build it; the line is to be read after what is built.
pub(crate) fn documentation(messages: &Messages) -> Result<PathBuf, Failure> {
    let builds = BuildDirectory::enter(|| messages.report("waiting for another build to finish…"))?;
    check_text(builds.path())?;
    cargo::document(builds.path(), &builds.sdk_package()?, &builds.target(), messages)
}

/// Builds the tests of a handler that is one file, for this machine, and runs them. Blocks until they have ended.
///
/// # Errors
///
/// As for [`file()`].
pub(crate) fn test_file(path: &Path, arguments: &[OsString], options: &BuildOptions) -> Result<ExitStatus, Failure> {
    let messages = &options.messages;
    let (package, directory, tests) = {
        let file = std::path::absolute(path)?;
        check_text(&file)?;
        let text = fs::read(&file).context("cannot be read")?;
        let script = Script::read(&String::from_utf8_lossy(&text))?;
        let builds = BuildDirectory::enter(|| messages.report("waiting for another build to finish…"))?;
        check_text(builds.path())?;
        let package = builds.package(&file, &script)?;
        let directory = file.parent().unwrap_or(&file).to_owned();
        let cargo = Cargo {
            directory: &directory,
            manifest: &package.manifest,
            program: &package.program,
            output: &builds.target(),
            has_own_output: true,
            renamed: &[(&package.source, path.parent().unwrap_or(path)), (&package.directory, Path::new(""))],
            lines: options.lines,
            messages,
        };
        let tests = cargo.build_tests()?;
        (package, directory, tests)
        // The lock is released here: tests may take long, and other builds should not wait for them.
    };
    Ok(cargo::run_tests(&tests, &directory, &package.manifest, arguments)?)
}

/// Runs the tests of a crate, as `cargo test` does. Blocks until they have ended.
///
/// # Errors
///
/// Cargo cannot be run. If the tests do not build, cargo's exit status says it.
pub(crate) fn test_package(path: &Path, arguments: &[OsString]) -> Result<ExitStatus, Failure> {
    let directory = fs::canonicalize(path).context("cannot be read")?;
    check_text(&directory)?;
    cargo::test(&directory, arguments)
}
