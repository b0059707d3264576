//! `wasmserve build`: builds a component from source and writes it to a file.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process,
};

use anyhow::Context as _;

use crate::{
    base::exit::{Exit, OrExit as _, StartError},
    program::task::Build,
    source::{
        build::Failure,
        locate::{Named, Source},
    },
};

/// Builds a handler, writes the component to a file and prints the file's name.
///
/// # Errors
///
/// The source does not build, or the file cannot be written.
pub(crate) fn run(task: Build) -> Result<Exit, StartError> {
    let Build { source, output, options } = task;
    let built =
        Source::new(Named::from(source)).build(&options).map_err(|Failure { line, .. }| line).or_exit(Exit::Handler)?;
    let output = output.unwrap_or_else(|| PathBuf::from(built.name).with_extension("wasm"));
    // Written as a whole or not at all, because a server may be serving the previous version.
    let new = output.with_extension(format!("{}.new", process::id()));
    let written = fs::write(&new, built.bytes).and_then(|()| fs::rename(&new, &output));
    written.with_context(|| format!("`{}` cannot be written", output.display())).or_exit(Exit::Failed)?;
    // The file is written even if stdout is closed.
    _ = writeln!(io::stdout(), "{}", output.display());
    Ok(Exit::Done)
}
