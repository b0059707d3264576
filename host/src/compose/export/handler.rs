//! A handler to export, and what becomes of it.

use anyhow::{Context as _, bail};
use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId};

use crate::kind::wasm::interface::{Interface, is_filter, none_is_exported};

/// The interface that the result exports.
pub(super) const INCOMING_HANDLER: &str = "wasi:http/incoming-handler@0.2.0";

/// What is left to the host, beside what every host of `wasi:http/proxy` has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keep {
    /// Variables, files and the other interfaces of `wasi:cli/command`.
    pub(crate) cli: bool,
    /// `wasi:keyvalue`.
    pub(crate) keyvalue: bool,
}

/// A handler, and the types of its world.
pub(super) struct Handler<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) resolve: Resolve,
    pub(super) world: WorldId,
}

impl<'a> Handler<'a> {
    /// Reads the types of a component.
    ///
    /// # Errors
    ///
    /// The bytes are not a component.
    pub(super) fn read(bytes: &'a [u8]) -> anyhow::Result<Self> {
        match wit_component::decode(bytes).context("it is not a valid component")? {
            DecodedWasm::Component(resolve, world) => Ok(Self { bytes, resolve, world }),
            DecodedWasm::WitPackage(..) => bail!("it contains types and no code"),
        }
    }

    /// Checks that the component is a handler made for wasmserve.
    ///
    /// # Errors
    ///
    /// It is of another kind.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if is_filter(&self.exports()) {
            bail!("it is a filter; export a handler with it: `wasmserve export HANDLER --wrap FILTER`");
        }
        match Interface::of(&self.exports()) {
            Some(Interface::Gateway) => Ok(()),
            Some(Interface::WasiHttp | Interface::Service) => {
                bail!("it is a component of wasi:http already, which other hosts serve as it is")
            }
            Some(Interface::Command) => bail!("it is a CGI program; only handlers made for wasmserve can be exported"),
            None => bail!("{}", none_is_exported()),
        }
    }

    /// The names of the interfaces that it exports.
    pub(super) fn exports(&self) -> Vec<String> {
        let exports = self.resolve.worlds[self.world].exports.keys();
        exports.map(|name| self.resolve.name_world_key(name)).collect()
    }

    /// The names of the interfaces that it imports.
    pub(super) fn imports(&self) -> Vec<String> {
        let imports = self.resolve.worlds[self.world].imports.keys();
        imports.map(|name| self.resolve.name_world_key(name)).collect()
    }
}
