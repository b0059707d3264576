//! Loads handlers from sources: opens a directory, or reads or builds a component and compiles it, or imports a Python app.

use std::{borrow::Cow, collections::BTreeSet, mem, path::PathBuf, sync::Arc};

use anyhow::anyhow;
use sha2::{Digest as _, Sha256};

use super::{
    build::{self, Failure, options::BuildOptions},
    filter::{self, Layers},
    locate::{Kind, Origin, Source},
    python::{self, Found},
    scope::Scope,
};
use crate::{
    base::{grants::Allowance, limits::Limits, options::FileOptions},
    compose::wrap,
    handler::Handler,
    kind::{
        bin::{self, Bin},
        files::{self, reload::Changes},
        wasm::{self, engine::Engine, layer::Around, settings::LAYERS_MAX},
    },
};

/// What a handler is made from, and when that changes.
#[derive(Debug)]
pub(crate) struct Material {
    /// What the handler is made from.
    pub(super) content: Content,
    /// The filters in front of it, the outermost one first.
    filters: Vec<wrap::Filter>,
    /// A digest of all that decides what the handler does.
    pub(super) digest: [u8; 32],
    /// The files and directories whose changes are changes of the handler.
    pub scope: Scope,
}

/// What a handler is made from.
#[derive(Debug)]
pub(super) enum Content {
    /// The bytes of a component's file, which was read or built.
    Component(Cow<'static, [u8]>),
    /// A Python app.
    App(Found),
}

/// Loads handlers.
pub(crate) struct Loader {
    /// The engine that all handlers share.
    pub engine: Arc<Engine>,
    /// How large a component may be, in bytes.
    pub size: u64,
    /// How sources are built.
    pub build: BuildOptions,
    /// Finds Python apps and their dependencies.
    pub finder: python::Finder,
    /// The Python that all apps start from.
    pub interpreter: wasm::python::Interpreter,
    /// The directories that handlers may write to, without links. What they write there is no change of a Python app.
    pub written: BTreeSet<PathBuf>,
    /// The request bin, if there is one among the handlers.
    pub bin: Arc<Bin>,
    /// The changes of all directories whose pages reload.
    pub changes: Arc<Changes>,
}

impl Loader {
    /// Makes the handler of a source with this allowance. Returns it with what it was made from, unless it serves a
    /// directory. Blocks while opening, reading, building, compiling or importing.
    ///
    /// # Errors
    ///
    /// The source cannot be read, does not build, or is not a handler. The line names the source.
    pub(crate) fn load(
        &self,
        layers: &Layers,
        allowance: &Allowance,
        options: &FileOptions,
    ) -> Result<(Box<dyn Handler>, Option<Material>), Failure> {
        let source = &layers.handler;
        if source.is_directory() {
            let handler = files::handler(source.place(), options, &self.changes, allowance);
            let handler = handler.map_err(|error| anyhow!("{source} {error:#}"))?;
            return Ok((Box::new(handler), None));
        }
        if source.is_bin() {
            return Ok((Box::new(bin::handler(&self.bin, allowance)), None));
        }
        let material = self.material(layers)?;
        let handler = self.handler(layers, &material, allowance)?;
        Ok((handler, Some(material)))
    }

    /// Reads or builds a component, or finds a Python app. Blocks while reading, building or installing.
    ///
    /// # Errors
    ///
    /// The source cannot be read, or does not build. The line names the source.
    pub(crate) fn material(&self, layers: &Layers) -> Result<Material, Failure> {
        let mut material = self.material_of_handler(&layers.handler)?;
        for filter in &layers.filters {
            let (filter, mut scope) = filter.component(self.size, &self.build)?;
            if filter.component.len() as u64 > self.size {
                let (name, length, size) = (filter.name, filter.component.len(), self.size);
                return Err(anyhow!("`{name}` has {length} bytes; --max-component allows {size}").into());
            }
            scope.extend(mem::take(&mut material.scope));
            let digest = [&material.digest[..], &Sha256::digest(&filter.component)].concat();
            let filters = [material.filters, vec![filter]].concat();
            material = Material { filters, scope, digest: Sha256::digest(digest).into(), ..material };
        }
        Ok(material)
    }

    fn material_of_handler(&self, source: &Source) -> Result<Material, Failure> {
        let of_bytes = |bytes: Cow<'static, [u8]>, scope| Material {
            digest: Sha256::digest(&bytes).into(),
            content: Content::Component(bytes),
            filters: Vec::new(),
            scope,
        };
        match source.origin {
            Origin::Program(bytes) => Ok(of_bytes(bytes.into(), Scope::default())),
            Origin::Path(Kind::Component) => {
                Ok(of_bytes(filter::read(source, self.size)?.into(), source.scope(Vec::new())))
            }
            Origin::Path(Kind::Python) => {
                let mut scope = source.scope(Vec::new());
                scope.written.clone_from(&self.written);
                // Seen before the app is imported, so that an edit meanwhile is not taken for what was imported.
                let digest = scope.survey().digest();
                let found = source.app(&self.finder, &self.build.messages)?;
                Ok(Material { content: Content::App(found), filters: Vec::new(), digest, scope })
            }
            Origin::Path(Kind::Rust | Kind::Crate | Kind::Files) | Origin::Bin => {
                let build::Component { bytes, sources, .. } = source.build(&self.build)?;
                let length = bytes.len();
                if length as u64 > self.size {
                    let size = self.size;
                    return Err(anyhow!("{source} builds to {length} bytes; --max-component allows {size}").into());
                }
                Ok(of_bytes(bytes.into(), source.scope(sources)))
            }
        }
    }

    /// Makes a handler with this allowance. Blocks while compiling or importing.
    ///
    /// # Errors
    ///
    /// The bytes are not a component, or the component is of another world; or the app cannot be imported. The line names
    /// the source.
    pub(crate) fn handler(
        &self,
        Layers { handler: source, .. }: &Layers,
        material: &Material,
        allowance: &Allowance,
    ) -> Result<Box<dyn Handler>, Failure> {
        let Allowance { limits, grants } = allowance;
        let count = u32::try_from(material.filters.len()).map_or(u32::MAX, |filters| filters.saturating_add(1));
        if count > LAYERS_MAX {
            return Err(anyhow!("{source} has {} filters; at most {} are possible", count - 1, LAYERS_MAX - 1).into());
        }
        let limits = &Limits { layers: count, ..limits.clone() };
        let mut around: Option<Around> = None;
        if !material.filters.is_empty() {
            for wrap::Filter { name, component, settings } in &material.filters {
                wasm::filter::check(&self.engine, name, component, settings)?;
            }
            let filters = material.filters.clone();
            around = Some(Arc::new(move |handler| wrap::wrap(&filters, handler)));
        }
        match &material.content {
            Content::Component(bytes) => {
                let handler = (bytes.clone(), source.interface);
                Ok(wasm::handler(&self.engine, &source.path, handler, around, limits, grants)?)
            }
            Content::App(found) => {
                let (path, app) = (&source.path, &found.app);
                let handler = wasm::python::handler(&self.engine, &self.interpreter, path, app, around, limits, grants);
                handler.map_err(|failure| found.failure(failure, &self.build.messages))
            }
        }
    }
}
