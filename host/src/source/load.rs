//! From a source to a handler.

use std::{borrow::Cow, sync::Arc};

use anyhow::anyhow;

use super::{
    build::{self, Failure, options::BuildOptions},
    locate::{Kind, Origin, Source},
    scope::Scope,
};
use crate::{
    base::{grants::Grants, limits::Limits},
    handler::Handler,
    kind::wasm::{self, engine::Engine},
};

/// A component that was read or built.
#[derive(Debug)]
pub(crate) struct Component {
    /// The bytes of its file.
    pub bytes: Cow<'static, [u8]>,
    /// Where to look for changes of what it is made of.
    pub scope: Scope,
}

/// Makes handlers.
pub(crate) struct Loader {
    /// What all handlers share.
    pub engine: Arc<Engine>,
    /// How many bytes a component may have.
    pub size: u64,
    /// What one exchange may use.
    pub limits: Limits,
    /// What it may touch.
    pub grants: Grants,
    /// How sources are built.
    pub build: BuildOptions,
}

impl Loader {
    /// Reads or builds a component. Blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// It cannot be read, or does not build; the line names it.
    pub(crate) fn component(&self, source: &Source) -> Result<Component, Failure> {
        match source.origin {
            Origin::Program(bytes) => Ok(Component { bytes: bytes.into(), scope: Scope::default() }),
            Origin::Path(Kind::Component) => {
                let path = &source.path;
                if path.components().count() == 1 && path.extension().is_none() && !path.exists() {
                    return Err(anyhow!("there is neither a file nor a command {source}; see --help").into());
                }
                let bytes = wasm::read(path, self.size)?;
                Ok(Component { bytes: bytes.into(), scope: source.scope(Vec::new()) })
            }
            Origin::Path(Kind::Rust | Kind::Crate) => {
                let build::Component { bytes, sources, .. } = source.build(&self.build)?;
                let length = bytes.len();
                if length as u64 > self.size {
                    let size = self.size;
                    return Err(anyhow!("{source} makes {length} octets, and --max-component allows {size}").into());
                }
                Ok(Component { bytes: bytes.into(), scope: source.scope(sources) })
            }
        }
    }

    /// Makes a handler of it. Blocks for as long as compiling takes.
    ///
    /// # Errors
    ///
    /// It is not a component, or one of another world; the line names it.
    pub(crate) fn handler(&self, source: &Source, component: &Component) -> Result<Box<dyn Handler>, Failure> {
        let bytes = component.bytes.clone();
        Ok(wasm::handler(&self.engine, &source.path, bytes, &self.limits, &self.grants)?)
    }
}
