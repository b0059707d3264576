//! Handlers that are wasm components, and the only folder that depends on wasmtime.

mod bindings;
pub(crate) mod cache;
pub(crate) mod check;
mod command;
pub(crate) mod compile;
pub(crate) mod component;
pub(crate) mod cores;
pub(crate) mod engine;
mod explain;
mod files;
pub(crate) mod filter;
mod footprint;
pub(crate) mod gateway;
mod guest;
mod guest_log;
mod image;
pub(crate) mod inspect;
pub(crate) mod interface;
pub(crate) mod layer;
mod memory;
mod outbound;
mod outcome;
mod phrases;
mod preview1;
pub(crate) mod python;
mod repeat;
pub(crate) mod settings;
mod store;
mod streams;
mod ticker;
mod wait;
mod wasi;
mod wasi_http;
#[cfg(feature = "wasip3")]
mod wasi_http_3;
mod world;

use std::{borrow::Cow, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow, bail};

#[cfg(feature = "wasip3")]
use self::wasi_http_3::Service;
pub(crate) use self::{
    check::{check_format, is_precompiled},
    component::read,
    inspect::has_handler,
    interface::KINDS,
    preview1::is_core_module,
};
use self::{
    command::Command, component::Component, engine::Engine, gateway::Gateway, inspect::ComponentInfo,
    interface::Interface, layer::Around, wasi_http::Proxy,
};
use crate::{
    base::{grants::Grants, limits::Limits},
    handler::Handler,
};

/// Makes a handler from a component or a program for WASI 0.1 in memory. `name` is used in messages. `kind` is one of
/// [`KINDS`], if the user has named it. `around` puts filters in front of it, if there are any. Blocks while compiling, which takes seconds for a large component that is not in
/// the compile cache.
///
/// # Errors
///
/// The bytes are neither, or the component is of another kind or world. The error names everything that is missing.
pub(crate) fn handler(
    engine: &Arc<Engine>,
    name: &Path,
    (bytes, kind): (Cow<'static, [u8]>, Option<&str>),
    around: Option<Around>,
    limits: &Limits,
    grants: &Grants,
) -> anyhow::Result<Box<dyn Handler>> {
    let built = python::built(engine, name, &bytes, around.clone(), limits, grants);
    if let Some(handler) = built.with_context(|| format!("`{}` cannot be served", name.display()))? {
        return Ok(handler);
    }
    let bytes = preview1::wrapped(bytes, limits.memory).map_err(|error| anyhow!("`{}` {error:#}", name.display()))?;
    // A malformed component is reported when it is compiled.
    let exports = ComponentInfo::read(&bytes).map(|info| info.exports).unwrap_or_default();
    if around.is_none() && interface::is_filter(&exports) {
        let name = name.display();
        bail!("`{name}` is a filter; put it in front of a handler: `wasmserve HANDLER --wrap {name}`");
    }
    let interface = match kind {
        Some(kind) => Interface::of_kind(kind, &exports).map(Some),
        None => Ok(Interface::of(&exports)),
    };
    let checked = interface.and_then(|interface| {
        interface.map_or(Ok(()), |interface| interface.check(&exports))?;
        if around.is_some() {
            filter::check_behind(&exports)?;
        }
        Ok(interface)
    });
    let interface = checked.with_context(|| format!("`{}` cannot be served", name.display()))?;
    let bytes = match around {
        Some(around) => {
            let wrapped = around(&bytes);
            wrapped.with_context(|| format!("filters cannot be put in front of `{}`", name.display()))?.into()
        }
        None => bytes,
    };
    let handler: Box<dyn Handler> = match interface {
        #[cfg(feature = "wasip3")]
        Some(Interface::Service) => Box::new(Component::<Service>::new(engine, name, bytes, limits, grants)?),
        #[cfg(not(feature = "wasip3"))]
        Some(Interface::Service) => unreachable!("`check` refuses it"),
        Some(Interface::Command) => Box::new(Component::<Command>::new(engine, name, bytes, limits, grants)?),
        Some(Interface::WasiHttp) => Box::new(Component::<Proxy>::new(engine, name, bytes, limits, grants)?),
        Some(Interface::Gateway) | None => Box::new(Component::<Gateway>::new(engine, name, bytes, limits, grants)?),
    };
    if interface == Some(Interface::Service) {
        engine.warn(&format!("`{}` is served through wasi:http 0.3, which is experimental", name.display()));
    }
    Ok(handler)
}

/// Makes a handler from a component in a file. Blocks while compiling.
///
/// # Errors
///
/// The file cannot be read, is larger than `size` bytes, is not a component, or is a component of another world.
pub fn load(
    engine: &Arc<Engine>,
    path: &Path,
    size: u64,
    limits: &Limits,
    grants: &Grants,
) -> anyhow::Result<Box<dyn Handler>> {
    handler(engine, path, (read(path, size)?.into(), None), None, limits, grants)
}
