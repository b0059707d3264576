//! What the user names: a component's file, or the Rust source of one; and how a handler comes of it.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt,
    fs::{self, Metadata},
    io::{self, Write as _},
    path::{Path, PathBuf, absolute},
    process,
    sync::Arc,
};

use anyhow::{Context as _, anyhow};
use sha2::{Digest as _, Sha256};

use crate::{
    build::{self, Failure},
    config::{self, Build, Grants, Limits, Making},
    exit::{Exit, StartError},
    handler::{self, Engine, Handler},
};

/// What a handler is made of.
#[derive(Clone, Debug)]
pub struct Source {
    /// As the user has named it.
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A component's file.
    Component,
    /// One Rust file.
    File,
    /// A crate, named by its directory.
    Crate,
    /// A component that is inside of this program.
    Example(&'static [u8]),
}

/// A component that was read or built.
#[derive(Debug)]
pub struct Component {
    /// The octets of its file.
    pub octets: Cow<'static, [u8]>,
    /// Where to look for changes of what it is made of.
    pub scope: Scope,
}

impl Source {
    /// What the user means.
    #[must_use]
    pub fn new(named: config::Source) -> Self {
        match named {
            config::Source::File(path) => Self::at(path),
            config::Source::Example(example) => {
                Self { path: example.name.into(), kind: Kind::Example(example.component) }
            }
        }
    }

    /// What the user means by a path: a crate by a directory or a `Cargo.toml`, a source by a name that ends in `.rs`, a
    /// component by anything else.
    fn at(path: PathBuf) -> Self {
        if path.ends_with("Cargo.toml") {
            let directory = path.parent().filter(|directory| *directory != Path::new("")).unwrap_or(Path::new("."));
            return Self { path: directory.to_owned(), kind: Kind::Crate };
        }
        let kind = match path.extension() {
            _ if path.is_dir() => Kind::Crate,
            Some(extension) if extension == "rs" => Kind::File,
            _ => Kind::Component,
        };
        Self { path, kind }
    }

    /// Whether it has to be built.
    #[must_use]
    pub fn is_built(&self) -> bool {
        matches!(self.kind, Kind::File | Kind::Crate)
    }

    /// Whether it may change while it is served.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        !matches!(self.kind, Kind::Example(_))
    }

    /// Builds it: the component and its name. Blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// It does not build, or there is nothing to build; the line names it.
    pub fn build(&self, build: &Build) -> Result<build::Component, Failure> {
        let built = match self.kind {
            Kind::Component | Kind::Example(_) => {
                Err(anyhow!("is neither a Rust file nor a crate; name a file that ends in .rs, or a directory").into())
            }
            Kind::File => build::file(&self.path, build),
            Kind::Crate => build::package(&self.path, build),
        };
        built.map_err(|Failure { line, words }| Failure { line: anyhow!("{self} {line:#}"), words })
    }

    /// Reads or builds the component.
    fn component(&self, size: u64, build: &Build) -> Result<Component, Failure> {
        match self.kind {
            Kind::Example(octets) => Ok(Component { octets: octets.into(), scope: Scope::default() }),
            Kind::Component => {
                if self.path.components().count() == 1 && self.path.extension().is_none() && !self.path.exists() {
                    return Err(anyhow!("there is neither a file nor a command {self}; see --help").into());
                }
                let octets = handler::read(&self.path, size)?;
                Ok(Component { octets: octets.into(), scope: self.scope(Vec::new()) })
            }
            Kind::File | Kind::Crate => {
                let build::Component { octets, sources, .. } = self.build(build)?;
                if octets.len() as u64 > size {
                    let length = octets.len();
                    return Err(anyhow!("{self} makes {length} octets, and --max-component allows {size}").into());
                }
                Ok(Component { octets: octets.into(), scope: self.scope(sources) })
            }
        }
    }

    /// Where it may change, if it was built from these files.
    fn scope(&self, sources: Vec<PathBuf>) -> Scope {
        let mut scope = Scope { files: sources.into_iter().collect(), ..Scope::default() };
        // The name's own directory, and the one that a link leads to.
        let places = [absolute(&self.path), fs::canonicalize(&self.path)].into_iter().flatten();
        match self.kind {
            Kind::Example(_) => {}
            Kind::Component => scope.files.extend(places),
            Kind::File => {
                scope.sources = absolute(&self.path).ok().and_then(|path| Some(path.parent()?.to_owned()));
                scope.files.extend(places);
            }
            Kind::Crate => {
                for place in places {
                    scope.files.extend(["Cargo.toml", "Cargo.lock", "build.rs"].map(|name| place.join(name)));
                    scope.trees.insert(place.join("src"));
                }
            }
        }
        scope
    }
}

/// Builds a handler into a file, whose name it prints.
///
/// # Errors
///
/// It does not build, or the file cannot be written.
pub fn build(making: Making) -> Result<Exit, StartError> {
    let failed = |exit| move |error: anyhow::Error| StartError::new(exit, &error);
    let Making { source, output, build } = making;
    let built = Source::at(source).build(&build).map_err(|Failure { line, .. }| line).map_err(failed(Exit::Handler))?;
    let output = output.unwrap_or_else(|| PathBuf::from(built.name).with_extension("wasm"));
    // Whole or not at all: somebody may serve the one before.
    let new = output.with_extension(format!("{}.new", process::id()));
    let written = fs::write(&new, built.octets).and_then(|()| fs::rename(&new, &output));
    written.with_context(|| format!("`{}` cannot be written", output.display())).map_err(failed(Exit::Failed))?;
    // If nobody reads it, the file is there all the same.
    _ = writeln!(io::stdout(), "{}", output.display());
    Ok(Exit::Done)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.path.display())
    }
}

/// Where to look for changes.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// These files.
    files: BTreeSet<PathBuf>,
    /// All that is in these directories, however deep.
    trees: BTreeSet<PathBuf>,
    /// All Rust files in this directory: one that is missing now may be what does not build.
    sources: Option<PathBuf>,
}

impl Scope {
    /// Whether a change of that file is one of the handler.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        let is_source = || path.extension().is_some_and(|end| end == "rs") && path.parent() == self.sources.as_deref();
        self.files.contains(path) || self.trees.iter().any(|tree| path.starts_with(tree)) || is_source()
    }

    /// What tells the files that it covers from what they were before: their contents, and when they were written.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut files = self.files.clone();
        let mut directories: Vec<PathBuf> = self.trees.iter().chain(&self.sources).cloned().collect();
        while let Some(directory) = directories.pop() {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
            let (deeper, others): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir() && !path.is_symlink());
            directories.extend(deeper.into_iter().filter(|path| self.covers(path)));
            files.extend(others.into_iter().filter(|path| self.covers(path)));
        }
        let mut digest = Sha256::new();
        for path in &files {
            // Of what is no file, a pipe say, the name has to do: reading it may never end.
            let metadata = fs::metadata(path).ok().filter(Metadata::is_file);
            let content = metadata.as_ref().and_then(|_| fs::read(path).ok()).unwrap_or_default();
            let written = metadata.and_then(|metadata| metadata.modified().ok());
            digest.update(format!("{path:?} {written:?} {}\n", content.len()));
            digest.update(content);
        }
        digest.finalize().into()
    }

    /// The directories to watch, each with whether what is below its directories counts too.
    pub fn directories(&self) -> impl Iterator<Item = (&Path, bool)> {
        let parents: BTreeSet<&Path> = self.files.iter().filter_map(|file| file.parent()).collect();
        let is_within = |path: &Path| self.trees.iter().any(|tree| path.starts_with(tree));
        let parents = parents.into_iter().filter(move |parent| !is_within(parent));
        self.trees.iter().map(|tree| (&**tree, true)).chain(parents.map(|parent| (parent, false)))
    }
}

/// Makes handlers.
pub struct Loader {
    /// What all handlers share.
    pub engine: Arc<Engine>,
    /// How many octets a component may have.
    pub size: u64,
    /// What one exchange may use.
    pub limits: Limits,
    /// What it may touch.
    pub grants: Grants,
    /// How sources are built.
    pub build: Build,
}

impl Loader {
    /// Reads or builds a component. Blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// It cannot be read, or does not build; the line names it.
    pub fn component(&self, source: &Source) -> Result<Component, Failure> {
        source.component(self.size, &self.build)
    }

    /// Makes a handler of it. Blocks for as long as compiling takes.
    ///
    /// # Errors
    ///
    /// It is not a component, or one of another world; the line names it.
    pub fn handler(&self, source: &Source, component: &Component) -> Result<Handler, Failure> {
        let handler =
            Handler::compile(&self.engine, &source.path, component.octets.clone(), &self.limits, &self.grants);
        handler.map_err(Failure::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(path: &str, sources: &[&str]) -> Scope {
        Source::at(path.into()).scope(sources.iter().map(Into::into).collect())
    }

    #[test]
    fn a_component_changes_with_its_file_only() {
        let scope = scope("/nowhere/a.wasm", &[]);
        assert!(scope.covers(Path::new("/nowhere/a.wasm")));
        assert!(!scope.covers(Path::new("/nowhere/b.wasm")) && !scope.covers(Path::new("/nowhere")));
        assert_eq!(scope.directories().collect::<Vec<_>>(), [(Path::new("/nowhere"), false)]);
    }

    #[test]
    fn a_file_changes_with_what_it_was_built_from_and_with_rust_files_beside_it() {
        let scope = scope("/nowhere/a.rs", &["/nowhere/a.rs", "/nowhere/page.html", "/elsewhere/b.rs"]);
        for path in ["/nowhere/a.rs", "/nowhere/page.html", "/nowhere/new.rs", "/elsewhere/b.rs"] {
            assert!(scope.covers(Path::new(path)), "{path}");
        }
        for path in ["/nowhere/data.json", "/elsewhere/c.rs", "/nowhere/deep/d.rs"] {
            assert!(!scope.covers(Path::new(path)), "{path}");
        }
        let directories: Vec<_> = scope.directories().collect();
        assert_eq!(directories, [(Path::new("/elsewhere"), false), (Path::new("/nowhere"), false)]);
    }

    #[test]
    fn a_crate_changes_with_its_sources_and_its_manifest_and_not_with_what_is_built() {
        let scope = scope("/nowhere/Cargo.toml", &["/nowhere/src/main.rs"]);
        for path in ["/nowhere/src/deep/a.rs", "/nowhere/Cargo.toml", "/nowhere/Cargo.lock"] {
            assert!(scope.covers(Path::new(path)), "{path}");
        }
        assert!(!scope.covers(Path::new("/nowhere/target/debug/a.rs")));
        let directories: Vec<_> = scope.directories().collect();
        assert_eq!(directories, [(Path::new("/nowhere/src"), true), (Path::new("/nowhere"), false)]);
    }
}
