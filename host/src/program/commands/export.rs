//! `wasmserve export`: turns a handler into a component of `wasi:http`, which other hosts serve.

pub(crate) mod deployment;
mod spin;
mod wasmcloud;

use anyhow::{Context as _, anyhow};

use self::deployment::Deployment;
use super::{engine::engine, make};
use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        output::Output,
    },
    compose::{export, wrap},
    kind::wasm::{self, component::SIZE_MAX, python},
    program::task::{Build, Export, Platform},
    source::{
        build::{Component, Failure},
        filter::{Filter, Wrap},
        locate::Source,
    },
};

/// What handlers cannot do on other hosts, because `wasi:http` has no words for it.
const LOST: &str = "on other hosts the handler does not get the client's address, the exact bytes of the head, nor the order \
                    and case of field names, and its reason phrases are not sent";

/// The end of a component's name, if the user has not named its file.
const SUFFIX: &str = "-http.wasm";

/// Makes the component, writes it to a file and prints the file's name, unless the component goes to stdout. Writes what
/// a platform needs beside it.
///
/// # Errors
///
/// It is not a handler, it does not build, or a file cannot be written.
pub(crate) fn run(task: Export) -> Result<Exit, StartError> {
    let Export { build, filters, keep, deploy } = task;
    let is_no_file = |output: Output| !matches!(output, Output::File { .. });
    if deploy.is_some() && build.output.as_deref().is_some_and(|path| Output::at(path).is_ok_and(is_no_file)) {
        let why =
            anyhow!("--for writes files beside the component; name a file for it with -o, as in -o out/hello.wasm");
        return Err(StartError::new(Exit::Usage, &why));
    }
    let messages = build.options.messages.clone();
    let make = move |source: &Source, task: &Build| {
        let handler = handler(source, task)?;
        let bytes = python::unseen(handler.bytes).and_then(|bytes| match &filters[..] {
            [] => Ok(bytes),
            filters => wrapped(&bytes, filters, task),
        });
        let bytes = bytes.and_then(|bytes| export::export(&bytes, keep));
        let bytes = bytes.with_context(|| format!("{source} cannot be exported")).or_exit(Exit::Handler)?;
        Ok(Component { bytes, name: handler.name, sources: handler.sources })
    };
    make::run(build, SUFFIX, make, move |component| {
        messages.report(LOST);
        let Some(deploy) = deploy else { return Ok(()) };
        let file = component.file_name().unwrap_or_default().to_string_lossy();
        let name = file.strip_suffix(SUFFIX).or(file.strip_suffix(".wasm")).unwrap_or(&file);
        let platform = deploy.platform;
        let deployment = Deployment::new(deploy, name, component, keep.keyvalue);
        let (manifests, steps) = match platform {
            Platform::WasmCloud => (wasmcloud::manifests(&deployment), wasmcloud::steps(&deployment)),
            Platform::Spin => (spin::manifests(&deployment), spin::steps(&deployment)),
        };
        let files: anyhow::Result<Vec<_>> = manifests.iter().map(|manifest| manifest.write(&deployment)).collect();
        let files = files?.join(" and ");
        messages.text(&format!("wasmserve: {files} describe the handler; publish and start it with\n{steps}"));
        Ok(())
    })
}

/// Puts filters in front of a handler.
fn wrapped(handler: &[u8], filters: &[Wrap], task: &Build) -> anyhow::Result<Vec<u8>> {
    wasm::filter::check_handler(handler)?;
    let (engine, log) = engine(&task.compile).map_err(|error| anyhow!("{}", error.message()))?;
    let mut layers = Vec::with_capacity(filters.len());
    for wrap in filters {
        let filter = Filter::new(wrap.clone());
        filter.check()?;
        let (filter, _) = filter.component(SIZE_MAX, &task.options).map_err(|Failure { line, .. }| line)?;
        let checked = wasm::filter::check(&engine, &filter.name, &filter.component, &filter.settings);
        log.flush();
        checked?;
        if !filter.settings.is_empty() {
            let name = &filter.name;
            task.options
                .messages
                .report(&format!("the options of `{name}` are in the exported file, where who has it can read them"));
        }
        layers.push(filter);
    }
    wrap::wrap(&layers, handler)
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
