//! `wasmserve build`: builds a component from source and writes it to a file.

use std::{panic, path::PathBuf};

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

/// Builds a handler, writes the component to a file and prints the file's name, unless the component goes to stdout.
///
/// # Errors
///
/// The source does not build, or the file cannot be written.
pub(crate) fn run(task: Build) -> Result<Exit, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot create a tokio runtime").or_exit(Exit::Failed)?;
    let done = runtime.block_on(async {
        let mut signals = Signals::new().context("cannot receive signals").or_exit(Exit::Failed)?;
        // Writing may block as well: a FIFO waits for its reader.
        Ok::<_, StartError>(signals.unless_stopped(spawn_blocking(|| build(task))).await)
    })?;
    // Does not wait for work that was stopped.
    runtime.shutdown_background();
    match done {
        Ok(done) => done.unwrap_or_else(|error| panic::resume_unwind(error.into_panic())),
        Err(exit) => Ok(exit),
    }
}

fn build(task: Build) -> Result<Exit, StartError> {
    let Build { source, output: path, options, compile } = task;
    let source = Source::new(Named::from(source));
    source.check().or_exit(Exit::Handler)?;
    // A wrong name is reported before the build, which may take long.
    let output = path.as_deref().map(Output::at).transpose().or_exit(Exit::Failed)?;
    if output.as_ref().is_some_and(Output::is_terminal) {
        let why = anyhow!("a component is not text for a terminal; redirect stdout, or name a file with -o");
        return Err(StartError::new(Exit::Usage, &why));
    }
    let built = match source.is_python() {
        true => of_python(&source, &options.messages, &compile)?,
        false => source.build(&options).map_err(|Failure { line, .. }| line).or_exit(Exit::Handler)?,
    };
    let path = path.unwrap_or_else(|| PathBuf::from(&built.name).with_extension("wasm"));
    let output = output.map_or_else(|| Output::at(&path), Ok).or_exit(Exit::Failed)?;
    check_sources(&output, &source, &built).or_exit(Exit::Failed)?;
    let waiting = || options.messages.report(&format!("waiting for a reader of `{}`…", path.display()));
    output.write(&built.bytes, waiting).or_exit(Exit::Failed)?;
    if output != Output::Stdout {
        // The file is written even if stdout is closed. The name is printed as it is, because scripts use it.
        _ = output::print(&[path.as_os_str().as_encoded_bytes(), b"\n"].concat());
    }
    Ok(Exit::Done)
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
