//! Loads handlers from sources: opens a directory, or reads or builds a component and compiles it.

use std::{borrow::Cow, path::absolute, sync::Arc};

use anyhow::anyhow;

use super::{
    build::{self, Failure, options::BuildOptions},
    locate::{Kind, Origin, Source},
    scope::Scope,
};
use crate::{
    base::{grants::Allowance, options::FileOptions},
    handler::Handler,
    kind::{
        files::{self, reload::Changes},
        wasm::{self, engine::Engine},
    },
};

/// A component that was read from a file or built.
#[derive(Debug)]
pub(crate) struct Component {
    /// The bytes of the component's file.
    pub bytes: Cow<'static, [u8]>,
    /// The files and directories whose changes are changes of the component.
    pub scope: Scope,
}

/// Loads handlers.
pub(crate) struct Loader {
    /// The engine that all handlers share.
    pub engine: Arc<Engine>,
    /// How large a component may be, in bytes.
    pub size: u64,
    /// How sources are built.
    pub build: BuildOptions,
    /// The changes of all directories whose pages reload.
    pub changes: Arc<Changes>,
}

impl Loader {
    /// Makes the handler of a source with this allowance. Returns it with the component that it was made from, unless it
    /// serves a directory. Blocks while opening, reading, building or compiling.
    ///
    /// # Errors
    ///
    /// The source cannot be read, does not build, or is not a handler. The line names the source.
    pub(crate) fn load(
        &self,
        source: &Source,
        allowance: &Allowance,
        options: &FileOptions,
    ) -> Result<(Box<dyn Handler>, Option<Component>), Failure> {
        if source.is_directory() {
            let handler = files::handler(source.place(), options, &self.changes, allowance);
            let handler = handler.map_err(|error| anyhow!("{source} {error:#}"))?;
            return Ok((Box::new(handler), None));
        }
        let component = self.component(source)?;
        let handler = self.handler(source, &component, allowance)?;
        Ok((handler, Some(component)))
    }

    /// Reads or builds a component. Blocks while reading or building.
    ///
    /// # Errors
    ///
    /// The source cannot be read, or does not build. The line names the source.
    pub(crate) fn component(&self, source: &Source) -> Result<Component, Failure> {
        match source.origin {
            Origin::Program(bytes) => Ok(Component { bytes: bytes.into(), scope: Scope::default() }),
            Origin::Path(Kind::Component) => {
                let (path, place) = (&source.path, source.place());
                // By the path that the user knows, unless the working directory was renamed.
                let is_same = absolute(path).is_ok_and(|path| path == place);
                let bytes = wasm::read(if is_same { path } else { &place }, self.size)?;
                Ok(Component { bytes: bytes.into(), scope: source.scope(Vec::new()) })
            }
            Origin::Path(Kind::Rust | Kind::Crate | Kind::Files) => {
                let build::Component { bytes, sources, .. } = source.build(&self.build)?;
                let length = bytes.len();
                if length as u64 > self.size {
                    let size = self.size;
                    return Err(anyhow!("{source} builds to {length} bytes; --max-component allows {size}").into());
                }
                Ok(Component { bytes: bytes.into(), scope: source.scope(sources) })
            }
        }
    }

    /// Makes a handler with this allowance from a component. Blocks while compiling.
    ///
    /// # Errors
    ///
    /// The bytes are not a component, or the component is of another world. The line names the source.
    pub(crate) fn handler(
        &self,
        source: &Source,
        component: &Component,
        allowance: &Allowance,
    ) -> Result<Box<dyn Handler>, Failure> {
        let bytes = component.bytes.clone();
        Ok(wasm::handler(&self.engine, &source.path, bytes, source.interface, &allowance.limits, &allowance.grants)?)
    }
}
