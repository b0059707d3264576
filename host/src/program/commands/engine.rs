//! The engine of commands that compile or import a handler and do not serve it.

use std::sync::Arc;

use anyhow::Context as _;

use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        limits::EngineLimits,
    },
    event::Events,
    kind::wasm::{compile::CompileOptions, engine::Engine},
    listen::access_log::{AccessLog, format::Format},
};

/// Creates an engine, and the log that prints its notices. The log has to be flushed at the end.
///
/// # Errors
///
/// The system cannot create a thread, or does not support the engine.
pub(super) fn engine(compile: &CompileOptions) -> Result<(Arc<Engine>, Arc<AccessLog>), StartError> {
    let log = Arc::new(AccessLog::spawn(Format::None).context("cannot create the log's thread").or_exit(Exit::Failed)?);
    let events = Arc::new(Events::new(vec![Arc::clone(&log) as _]));
    let engine = Engine::with_compiler(&EngineLimits::DEFAULT, compile.clone(), events);
    let (engine, _) = engine.or_exit(Exit::Failed)?;
    Ok((engine, log))
}
