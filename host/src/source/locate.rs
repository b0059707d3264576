//! Decides what a handler named by the user is: a component's file, a Rust file, a crate or an example.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf, absolute},
};

use anyhow::anyhow;

use super::{
    build::{self, Failure, options::BuildOptions},
    example::Example,
    scope::Scope,
};

/// A handler as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `PATH`, or `KIND:PATH`.
    Path {
        /// The kind of source, if the user gave a prefix.
        kind: Option<Kind>,
        /// The path of the source.
        path: PathBuf,
    },
    /// A handler that is built into this program.
    Example(&'static Example),
}

/// The kinds of sources that a path can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `component:`, a component's file.
    Component,
    /// `rust:`, one Rust file.
    Rust,
    /// `crate:`, a crate, named by its directory or its manifest.
    Crate,
}

impl Kind {
    /// All kinds, each with its prefix.
    pub(crate) const ALL: [(&str, Self); 3] =
        [("component", Self::Component), ("rust", Self::Rust), ("crate", Self::Crate)];

    /// The kind of source at a path: a crate for a directory or a `Cargo.toml`; a component for a file that begins like
    /// one, whatever its name; Rust for a name that ends in `.rs`; and a component for anything else.
    fn of(path: &Path) -> Self {
        if path.is_dir() || path.ends_with("Cargo.toml") {
            Self::Crate
        } else if !begins_like_wasm(path) && path.extension().is_some_and(|extension| extension == "rs") {
            Self::Rust
        } else {
            Self::Component
        }
    }
}

/// Whether the path is a file that begins with wasm's magic bytes.
fn begins_like_wasm(path: &Path) -> bool {
    let mut magic = [0; 4];
    // Anything but a file, such as a pipe, can be read only once.
    path.is_file() && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\0asm"
}

impl From<OsString> for Named {
    /// Reads `KIND:PATH`. A text without a known kind before the colon is a path as a whole.
    fn from(text: OsString) -> Self {
        let prefixed = text.to_str().and_then(|text| {
            let (prefix, path) = text.split_once(':')?;
            let (_, kind) = Kind::ALL.into_iter().find(|(name, _)| *name == prefix)?;
            Some(Self::Path { kind: Some(kind), path: path.into() })
        });
        prefixed.unwrap_or_else(|| Self::Path { kind: None, path: text.into() })
    }
}

/// The source of a handler.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The path as the user named it.
    pub(super) path: PathBuf,
    pub(super) origin: Origin,
}

/// Where a handler comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Path(Kind),
    Program(&'static [u8]),
}

impl Source {
    /// Finds the source that the user means.
    #[must_use]
    pub(crate) fn new(named: Named) -> Self {
        match named {
            Named::Path { kind, path } => {
                let kind = kind.unwrap_or_else(|| Kind::of(&path));
                let directory = path.parent().filter(|_| path.ends_with("Cargo.toml"));
                let directory = directory.map(|directory| match directory {
                    directory if directory == OsStr::new("") => PathBuf::from("."),
                    directory => directory.to_owned(),
                });
                Self { path: directory.unwrap_or(path), origin: Origin::Path(kind) }
            }
            Named::Example(example) => Self { path: example.name.into(), origin: Origin::Program(example.component) },
        }
    }

    /// The path as the user named it; a crate's directory if they named its manifest.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the source has to be built.
    #[must_use]
    pub(crate) fn is_built(&self) -> bool {
        matches!(self.origin, Origin::Path(Kind::Rust | Kind::Crate))
    }

    /// Whether the source may change while the handler is served.
    #[must_use]
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self.origin, Origin::Path(_))
    }

    /// Builds the source into a component. Blocks until cargo has finished.
    ///
    /// # Errors
    ///
    /// The build fails, or the source is not something to build. The line names the source.
    pub(crate) fn build(&self, options: &BuildOptions) -> Result<build::Component, Failure> {
        let built = match self.origin {
            Origin::Path(Kind::Component) | Origin::Program(_) => {
                Err(anyhow!("is neither a Rust file nor a crate; name a file that ends in .rs or a crate's directory")
                    .into())
            }
            Origin::Path(Kind::Rust) => build::file(&self.path, options),
            Origin::Path(Kind::Crate) => build::package(&self.path, options),
        };
        built.map_err(|Failure { line, output }| Failure { line: anyhow!("{self} {line:#}"), output })
    }

    /// The files and directories whose changes are changes of the source, which was built from `sources`.
    pub(super) fn scope(&self, sources: Vec<PathBuf>) -> Scope {
        let mut scope = Scope { files: sources.into_iter().collect(), ..Scope::default() };
        // The path itself, and the target if it is a link.
        let places = [absolute(&self.path), fs::canonicalize(&self.path)].into_iter().flatten();
        match self.origin {
            Origin::Program(_) => {}
            Origin::Path(Kind::Component) => scope.files.extend(places),
            Origin::Path(Kind::Rust) => {
                scope.sources = absolute(&self.path).ok().and_then(|path| Some(path.parent()?.to_owned()));
                scope.files.extend(places);
            }
            Origin::Path(Kind::Crate) => {
                for place in places {
                    scope.files.extend(["Cargo.toml", "Cargo.lock", "build.rs"].map(|name| place.join(name)));
                    scope.trees.insert(place.join("src"));
                }
            }
        }
        scope
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(path: &str, sources: &[&str]) -> Scope {
        Source::new(OsString::from(path).into()).scope(sources.iter().map(Into::into).collect())
    }

    #[test]
    fn a_component_changes_only_with_its_file() {
        let scope = scope("/nowhere/a.wasm", &[]);
        assert!(scope.covers(Path::new("/nowhere/a.wasm")));
        assert!(!scope.covers(Path::new("/nowhere/b.wasm")) && !scope.covers(Path::new("/nowhere")));
        assert_eq!(scope.directories().collect::<Vec<_>>(), [(Path::new("/nowhere"), false)]);
    }

    #[test]
    fn a_rust_file_changes_with_its_sources_and_with_rust_files_beside_it() {
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
    fn a_crate_changes_with_its_sources_and_manifest_and_not_with_build_output() {
        let scope = scope("/nowhere/Cargo.toml", &["/nowhere/src/main.rs"]);
        for path in ["/nowhere/src/deep/a.rs", "/nowhere/Cargo.toml", "/nowhere/Cargo.lock"] {
            assert!(scope.covers(Path::new(path)), "{path}");
        }
        assert!(!scope.covers(Path::new("/nowhere/target/debug/a.rs")));
        let directories: Vec<_> = scope.directories().collect();
        assert_eq!(directories, [(Path::new("/nowhere/src"), true), (Path::new("/nowhere"), false)]);
    }

    #[test]
    fn a_prefix_decides_the_kind_of_a_source() {
        let named = |text: &str| match Named::from(OsString::from(text)) {
            Named::Path { kind, path } => (kind, path.to_string_lossy().into_owned()),
            Named::Example(_) => unreachable!("the text is a path"),
        };
        assert_eq!(named("rust:a:b"), (Some(Kind::Rust), "a:b".into()));
        assert_eq!(named("component:x.rs"), (Some(Kind::Component), "x.rs".into()));
        for path in ["a.rs", "C:/a.wasm", "other:a.wasm", "./rust:a", "rust"] {
            assert_eq!(named(path), (None, path.to_owned()));
        }
    }

    #[test]
    fn a_component_is_recognized_whatever_its_name() {
        let directory = std::env::temp_dir().join(format!("wasmserve-locate-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a temporary directory is writable");
        let kind = |name: &str, bytes: &[u8]| {
            let path = directory.join(name);
            fs::write(&path, bytes).expect("the file is writable");
            Kind::of(&path)
        };
        assert_eq!(kind("a.rs", b"\0asm\x0d\0\x01\0"), Kind::Component);
        assert_eq!(kind("b.rs", b"fn main() {}"), Kind::Rust);
        assert_eq!(kind("c", b"\0asm\x0d\0\x01\0"), Kind::Component);
        assert_eq!(Kind::of(&directory), Kind::Crate);
        _ = fs::remove_dir_all(directory);
    }
}
