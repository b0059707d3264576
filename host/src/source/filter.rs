//! Filters as users name them, their components, and what is behind them.

use std::{
    fmt,
    path::{Path, absolute},
};

use anyhow::{anyhow, bail};

use super::{
    build::{self, Failure, options::BuildOptions},
    locate::{Kind, Named, Origin, Source},
    scope::Scope,
};
use crate::{
    compose::wrap,
    kind::wasm::{self, layer::Setting},
};

/// A filter to put in front of a handler, as the user named it.
#[derive(Clone)]
pub(crate) struct Wrap {
    /// The filter.
    pub(crate) named: Named,
    /// Its options, in the order of the command line.
    pub(crate) settings: Vec<Setting>,
}

impl fmt::Debug for Wrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values may be secrets.
        f.debug_struct("Wrap").field("named", &self.named).finish_non_exhaustive()
    }
}

/// The source of a handler, and the filters in front of it.
pub(crate) struct Layers {
    pub(super) handler: Source,
    /// The outermost one first.
    pub(super) filters: Vec<Filter>,
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handler.fmt(f)
    }
}

impl Layers {
    /// Finds the sources that the user means.
    #[must_use]
    pub(crate) fn new(handler: Named, filters: &[Wrap]) -> Self {
        Self { handler: Source::new(handler), filters: filters.iter().cloned().map(Filter::new).collect() }
    }

    /// Checks that the sources look like what they have to be.
    ///
    /// # Errors
    ///
    /// One does not. The error names it.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.handler.check()?;
        if self.handler.is_directory() && !self.filters.is_empty() {
            bail!(
                "{self} is a directory, and filters work only in front of handlers made for wasmserve; remove --wrap"
            );
        }
        if self.handler.is_bin() && !self.filters.is_empty() {
            bail!(
                "the request bin answers without a handler, so there is nothing to put filters in front of; remove --wrap"
            );
        }
        self.filters.iter().try_for_each(Filter::check)
    }

    /// What the user may have meant instead, if that is likely.
    #[must_use]
    pub(crate) fn doubt(&self) -> Option<String> {
        self.handler.doubt()
    }

    /// Whether a source may change while the handler is served.
    #[must_use]
    pub(crate) fn is_outside(&self) -> bool {
        self.sources().any(Source::is_outside)
    }

    /// Whether making a handler of the sources runs code with all the user's rights: building does, and installing what
    /// Python apps declare.
    pub(super) fn is_made(&self) -> bool {
        self.sources().any(|source| source.is_built() || source.is_python())
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.filters.iter().map(|filter| &filter.source).chain([&self.handler])
    }
}

/// The source of a filter, and its options.
pub(crate) struct Filter {
    source: Source,
    settings: Vec<Setting>,
}

impl Filter {
    /// Finds the source that the user means.
    #[must_use]
    pub(crate) fn new(wrap: Wrap) -> Self {
        Self { source: Source::new(wrap.named), settings: wrap.settings }
    }

    /// What the user calls it.
    pub(crate) fn name(&self) -> String {
        self.source.path.display().to_string()
    }

    /// Checks that the source looks like what it has to be.
    ///
    /// # Errors
    ///
    /// It cannot be a filter. The error names the source.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let what = match self.source.origin {
            Origin::Path(Kind::Files) => "is a directory",
            Origin::Path(Kind::Python) => "is Python",
            _ => return self.source.check(),
        };
        Err(anyhow!("{} {what}, not a filter; name a component, a Rust file or a crate", self.source))
    }

    /// Reads or builds the filter. Blocks meanwhile. Its size is at most `size` bytes. Returns it with the files and
    /// directories whose changes are changes of it.
    ///
    /// # Errors
    ///
    /// The source cannot be read, does not build, or is not a filter. The line names the source.
    pub(crate) fn component(&self, size: u64, options: &BuildOptions) -> Result<(wrap::Filter, Scope), Failure> {
        let source = &self.source;
        let (component, scope) = match source.origin {
            Origin::Program(bytes) => (bytes.to_vec(), Scope::default()),
            Origin::Path(Kind::Rust | Kind::Crate) => {
                let build::Component { bytes, sources, .. } = source.build_any(options)?;
                // Anything else is refused by its name when it is checked.
                if !wasm::has_handler(&bytes) {
                    return Err(anyhow!("{source} has no filter; add `filter!(Name);`").into());
                }
                (bytes, source.scope(sources))
            }
            Origin::Path(_) | Origin::Bin => (read(source, size)?, source.scope(Vec::new())),
        };
        Ok((wrap::Filter { name: self.name(), component, settings: self.settings.clone() }, scope))
    }
}

/// Reads a component's file.
///
/// # Errors
///
/// The file cannot be read, or is too large.
pub(super) fn read(source: &Source, size: u64) -> anyhow::Result<Vec<u8>> {
    let (path, place): (&Path, _) = (&source.path, source.place());
    // By the path that the user knows, unless the working directory was renamed.
    let is_same = absolute(path).is_ok_and(|path| path == place);
    wasm::read(if is_same { path } else { &place }, size)
}
