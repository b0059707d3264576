//! `wasmserve export`: turns a handler into a component of `wasi:http`, which other hosts serve.

use anyhow::Context as _;

use super::make;
use crate::{
    base::exit::{Exit, OrExit as _, StartError},
    compose::export,
    kind::wasm::{self, component::SIZE_MAX},
    program::task::{Build, Export},
    source::{build::Component, locate::Source},
};

/// What handlers cannot do on other hosts, because `wasi:http` has no words for it.
const LOST: &str = "other hosts do not tell it the client's address, the exact bytes of the head, the order and case of \
                    field names, and send their own reason phrases; docs/export.md has all differences";

/// Makes the component, writes it to a file and prints the file's name, unless the component goes to stdout.
///
/// # Errors
///
/// It is not a handler, it does not build, or the file cannot be written.
pub(crate) fn run(task: Export) -> Result<Exit, StartError> {
    let Export { build, keep } = task;
    make::run(build, "-http.wasm", move |source, task| {
        let handler = handler(source, task)?;
        let bytes = export::export(&handler.bytes, keep);
        let bytes = bytes.with_context(|| format!("{source} cannot be exported")).or_exit(Exit::Handler)?;
        task.options.messages.report(LOST);
        Ok(Component { bytes, ..handler })
    })
}

/// Reads a component, or builds one.
fn handler(source: &Source, task: &Build) -> Result<Component, StartError> {
    if !source.is_component() {
        return make::build(source, task);
    }
    let bytes = wasm::read(source.path(), SIZE_MAX).or_exit(Exit::Handler)?;
    let name = source.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Component { bytes, name, sources: Vec::new() })
}
