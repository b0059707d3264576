//! `wasmserve build`: builds a component from source and writes it to a file.

use super::make;
use crate::{
    base::exit::{Exit, StartError},
    program::task::Build,
};

/// Builds a handler, writes the component to a file and prints the file's name, unless the component goes to stdout.
///
/// # Errors
///
/// The source does not build, or the file cannot be written.
pub(crate) fn run(task: Build) -> Result<Exit, StartError> {
    make::run(task, ".wasm", make::build, |_| Ok(()))
}
