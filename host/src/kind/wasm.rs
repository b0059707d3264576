//! Components: loaded once, called once for each exchange, each time in a fresh instance. The only folder that knows wasmtime.

mod bindings;
pub(crate) mod cache;
mod check;
pub(crate) mod compile;
pub(crate) mod component;
pub(crate) mod engine;
mod explain;
mod footprint;
pub(crate) mod gateway;
mod guest;
mod guest_log;
pub(crate) mod inspect;
mod memory;
mod outcome;
pub(crate) mod settings;
mod store;
mod ticker;
mod wait;
mod wasi;
mod world;

use std::{borrow::Cow, path::Path, sync::Arc};

pub(crate) use self::component::read;
use self::{component::Component, engine::Engine, gateway::Gateway};
use crate::{
    base::{grants::Grants, limits::Limits},
    handler::Handler,
};

/// Makes a handler of a component in memory, of that name. Takes seconds for a large one that is not in the compile cache.
///
/// # Errors
///
/// It is not a component, or one of another world: all that is missing is named.
pub(crate) fn handler(
    engine: &Arc<Engine>,
    name: &Path,
    bytes: Cow<'static, [u8]>,
    limits: &Limits,
    grants: &Grants,
) -> anyhow::Result<Box<dyn Handler>> {
    Ok(Box::new(Component::<Gateway>::new(engine, name, bytes, limits, grants)?))
}

/// The same for a component in a file.
///
/// # Errors
///
/// The file cannot be read, has more than `size` bytes, is not a component, or is one of another world.
pub fn load(
    engine: &Arc<Engine>,
    path: &Path,
    size: u64,
    limits: &Limits,
    grants: &Grants,
) -> anyhow::Result<Box<dyn Handler>> {
    handler(engine, path, read(path, size)?.into(), limits, grants)
}
