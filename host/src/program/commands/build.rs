//! `wasmserve build`: from a source to a component's file.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process,
};

use anyhow::Context as _;

use crate::{
    base::exit::{Exit, StartError},
    program::task::Build,
    source::{
        build::Failure,
        locate::{Named, Source},
    },
};

/// Builds a handler into a file, whose name it prints.
///
/// # Errors
///
/// It does not build, or the file cannot be written.
pub(crate) fn run(task: Build) -> Result<Exit, StartError> {
    let failed = |exit| move |error: anyhow::Error| StartError::new(exit, &error);
    let Build { source, output, options } = task;
    let built = Source::new(Named::from(source))
        .build(&options)
        .map_err(|Failure { line, .. }| line)
        .map_err(failed(Exit::Handler))?;
    let output = output.unwrap_or_else(|| PathBuf::from(built.name).with_extension("wasm"));
    // Whole or not at all: somebody may serve the one before.
    let new = output.with_extension(format!("{}.new", process::id()));
    let written = fs::write(&new, built.bytes).and_then(|()| fs::rename(&new, &output));
    written.with_context(|| format!("`{}` cannot be written", output.display())).map_err(failed(Exit::Failed))?;
    // If nobody reads it, the file is there all the same.
    _ = writeln!(io::stdout(), "{}", output.display());
    Ok(Exit::Done)
}
