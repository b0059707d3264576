//! Makes a component from what the user names, and writes it to a file: what `build` and `export` have in common.

use std::{
    panic,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use tokio::{runtime::Builder, task::spawn_blocking};

use super::engine::engine;
use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        limits::Limits,
        output::{self, Output},
    },
    kind::wasm::{compile::CompileOptions, python},
    lifecycle::signals::Signals,
    program::task::Build,
    source::{
        build::{Component, Failure, options::Messages},
        locate::{Named, Source},
        python::Finder,
    },
};

/// Makes a component, writes it to a file, does what is left with the file's path, and prints it, unless the component
/// goes to stdout. The file is named after the source, with `suffix`, if the user has not named one.
///
/// # Errors
///
/// The component cannot be made, the file cannot be written, or what is left fails.
pub(super) fn run(
    task: Build,
    suffix: &'static str,
    make: impl FnOnce(&Source, &Build) -> Result<Component, StartError> + Send + 'static,
    then: impl FnOnce(&Path) -> anyhow::Result<()> + Send + 'static,
) -> Result<Exit, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot create a tokio runtime").or_exit(Exit::Failed)?;
    let done = runtime.block_on(async {
        let mut signals = Signals::new().context("cannot receive signals").or_exit(Exit::Failed)?;
        // Writing may block as well: a FIFO waits for its reader.
        Ok::<_, StartError>(signals.unless_stopped(spawn_blocking(|| write(task, suffix, make, then))).await)
    })?;
    // Does not wait for work that was stopped.
    runtime.shutdown_background();
    match done {
        Ok(done) => done.unwrap_or_else(|error| panic::resume_unwind(error.into_panic())),
        Err(exit) => Ok(exit),
    }
}

fn write(
    task: Build,
    suffix: &str,
    make: impl FnOnce(&Source, &Build) -> Result<Component, StartError>,
    then: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> Result<Exit, StartError> {
    let source = Source::new(Named::from(task.source.clone()));
    source.check().or_exit(Exit::Handler)?;
    // A wrong name is reported before the build, which may take long.
    let output = task.output.as_deref().map(Output::at).transpose().or_exit(Exit::Failed)?;
    if output.as_ref().is_some_and(Output::is_terminal) {
        let why = anyhow!("a component is not text for a terminal; redirect stdout, or name a file with -o");
        return Err(StartError::new(Exit::Usage, &why));
    }
    let made = make(&source, &task)?;
    let path = task.output.unwrap_or_else(|| PathBuf::from(format!("{}{suffix}", made.name)));
    let output = output.map_or_else(|| Output::at(&path), Ok).or_exit(Exit::Failed)?;
    check_sources(&output, &source, &made).or_exit(Exit::Failed)?;
    let waiting = || task.options.messages.report(&format!("waiting for a reader of `{}`…", path.display()));
    output.write(&made.bytes, waiting).or_exit(Exit::Failed)?;
    then(&path).or_exit(Exit::Failed)?;
    if output != Output::Stdout {
        // The file is written even if stdout is closed. The name is printed as it is, because scripts use it.
        _ = output::print(&[path.as_os_str().as_encoded_bytes(), b"\n"].concat());
    }
    Ok(Exit::Done)
}

/// Builds a component from source.
///
/// # Errors
///
/// The source does not build.
pub(super) fn build(source: &Source, task: &Build) -> Result<Component, StartError> {
    match source.is_python() {
        true => of_python(source, &task.options.messages, &task.compile),
        false => source.build(&task.options).map_err(|Failure { line, .. }| line).or_exit(Exit::Handler),
    }
}

/// Builds a component that contains a Python app.
fn of_python(source: &Source, messages: &Messages, compile: &CompileOptions) -> Result<Component, StartError> {
    let found = source.app(&Finder::default(), messages).map_err(|Failure { line, .. }| line).or_exit(Exit::Handler)?;
    let (engine, log) = engine(compile)?;
    let built = python::build(&engine, &python::Interpreter::default(), source.path(), &found.app, &Limits::DEFAULT);
    log.flush();
    let bytes = built.map_err(|failure| found.failure(failure, messages).line).or_exit(Exit::Handler)?;
    let name = found.app.module.split('.').next().unwrap_or_default().to_owned();
    Ok(Component { bytes, name, sources: Vec::new() })
}

/// Checks that the component does not replace what it was built from.
fn check_sources(output: &Output, source: &Source, built: &Component) -> anyhow::Result<()> {
    let of_crate = ["Cargo.toml", "Cargo.lock"].map(|name| source.path().join(name));
    let mut sources = built.sources.iter().chain(&of_crate).map(PathBuf::as_path).chain([source.path()]);
    match sources.find(|source| output.is(source)) {
        Some(source) => bail!("`{}` is what the component was built from; choose another name", source.display()),
        None => Ok(()),
    }
}
