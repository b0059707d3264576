//! Decides what a handler named by the user is: a component's file, a Rust file, a crate, a Python app, a directory or an
//! example.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf, absolute},
    process::ExitStatus,
};

use anyhow::anyhow;

use super::{
    build::{
        self, Failure,
        options::{BuildOptions, Messages},
    },
    example::Example,
    mistake, python,
    scope::Scope,
};
use crate::kind::wasm;

/// How much of a file is read to find out what it is, in bytes: a shebang, and metadata of Python behind it.
const BEGIN_MAX: u64 = 4096;

/// A handler as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `PATH`, or `KIND:PATH`.
    Path {
        /// The kind of source, if the user gave a prefix.
        kind: Option<Kind>,
        /// The kind of component, if the user gave a prefix for that: one of [`wasm::KINDS`].
        interface: Option<&'static str>,
        /// The path of the source.
        path: PathBuf,
    },
    /// A handler that is built into this program.
    Example(&'static Example),
    /// The request bin, whose answer the user chooses in the viewer.
    Bin {
        /// Whether the answer is at first the body of the request.
        echoes: bool,
    },
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path, .. } => write!(f, "{}", path.display()),
            Self::Example(example) => write!(f, "{} (built in)", example.name),
            Self::Bin { .. } => write!(f, "a request bin"),
        }
    }
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
    /// `python:`, a WSGI app: a file, a module, a package or a directory.
    Python,
    /// `files:`, the files in a directory.
    Files,
}

impl Kind {
    /// All kinds, each with its prefix.
    pub(crate) const ALL: [(&str, Self); 5] = [
        ("component", Self::Component),
        ("rust", Self::Rust),
        ("crate", Self::Crate),
        ("python", Self::Python),
        ("files", Self::Files),
    ];

    /// The kind of source at a path: a crate for a `Cargo.toml` or a directory with one; Python for any other directory
    /// with an app; files for any other directory; a component for a file that begins like one, whatever its name;
    /// Python or Rust for a name that ends in `.py` or `.rs`, or a script; Python for a module's name; and a component
    /// for anything else.
    fn of(path: &Path) -> Self {
        if path.ends_with("Cargo.toml") || path.join("Cargo.toml").exists() {
            return Self::Crate;
        }
        if path.is_dir() {
            return if python::name::is_app(path) { Self::Python } else { Self::Files };
        }
        let (begin, is_rust) = (begin(path), path.extension().is_some_and(|extension| extension == "rs"));
        if begin.starts_with(b"\0asm") {
            Self::Component
        } else if is_rust {
            Self::Rust
        } else if python::name::is_app(path) || python::name::is_script(&begin) {
            Self::Python
        } else if is_script(&begin) {
            Self::Rust
        } else if !path.exists() && python::name::is_app_elsewhere(path) {
            Self::Python
        } else {
            Self::Component
        }
    }
}

/// The first bytes of a file; empty for anything else, such as a pipe, which can be read only once.
fn begin(path: &Path) -> Vec<u8> {
    let mut begin = Vec::new();
    if path.is_file() {
        // A file that cannot be read is reported when it is loaded.
        _ = File::open(path).and_then(|file| file.take(BEGIN_MAX).read_to_end(&mut begin));
    }
    begin
}

/// Whether a file begins with a shebang that names this program, or one that runs Rust files with their dependencies.
fn is_script(begin: &[u8]) -> bool {
    let line = begin.strip_prefix("\u{feff}".as_bytes()).unwrap_or(begin).split(|byte| *byte == b'\n').next();
    let Some(shebang) = line.and_then(|line| line.strip_prefix(b"#!")) else { return false };
    let shebang = String::from_utf8_lossy(shebang);
    let names = shebang.split_whitespace().filter_map(|word| Path::new(word).file_name());
    names.into_iter().any(|name| ["wasmserve", "cargo", "rust-script"].iter().any(|runner| name == *runner))
}

impl From<OsString> for Named {
    /// Reads `KIND:PATH`. A text without a known kind before the colon is a path as a whole.
    fn from(text: OsString) -> Self {
        let prefixed = split_once(&text, ':').and_then(|(prefix, path)| {
            let kind = Kind::ALL.into_iter().find(|(name, _)| *name == prefix).map(|(_, kind)| kind);
            let interface = wasm::KINDS.into_iter().find(|name| *name == prefix);
            (kind.is_some() || interface.is_some()).then(|| Self::Path { kind, interface, path: path.into() })
        });
        prefixed.unwrap_or_else(|| Self::Path { kind: None, interface: None, path: text.into() })
    }
}

/// Splits a text that ends in a path at the first `separator`, which is ASCII. The path need not be UTF-8.
pub(crate) fn split_once(text: &OsStr, separator: char) -> Option<(&str, OsString)> {
    let at = text.as_encoded_bytes().iter().position(|byte| char::from(*byte) == separator)?;
    let before = str::from_utf8(&text.as_encoded_bytes()[..at]).ok()?;
    Some((before, tail(text, at + 1)?))
}

#[cfg(unix)]
fn tail(text: &OsStr, from: usize) -> Option<OsString> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(OsStr::from_bytes(text.as_bytes().get(from..)?).to_owned())
}

#[cfg(not(unix))]
fn tail(text: &OsStr, from: usize) -> Option<OsString> {
    Some(text.to_str()?.get(from..)?.into())
}

/// The source of a handler.
#[derive(Clone)]
pub(crate) struct Source {
    /// The path as the user named it.
    pub(super) path: PathBuf,
    /// The same path from the root, as it was at the start.
    absolute: PathBuf,
    /// The kind of component, if the user has named it.
    pub(super) interface: Option<&'static str>,
    /// The name of an app in a Python module, if the user has named it.
    attribute: Option<String>,
    pub(super) origin: Origin,
}

/// Where a handler comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Path(Kind),
    Program(&'static [u8]),
    Bin,
}

impl Source {
    /// Finds the source that the user means.
    #[must_use]
    pub(crate) fn new(named: Named) -> Self {
        match named {
            Named::Path { kind, interface, path } => {
                let kind = kind.unwrap_or_else(|| match Kind::of(&path) {
                    // Neither a directory of files nor Python is a component.
                    Kind::Files | Kind::Python if interface.is_some() => Kind::Component,
                    kind => kind,
                });
                let is_app = kind == Kind::Python && !path.exists();
                let (path, attribute) = match python::name::split(&path).filter(|_| is_app) {
                    Some((path, attribute)) => (path, Some(attribute)),
                    None => (path, None),
                };
                let directory = path.parent().filter(|_| path.ends_with("Cargo.toml"));
                let directory = directory.map(|directory| match directory {
                    directory if directory == OsStr::new("") => PathBuf::from("."),
                    directory => directory.to_owned(),
                });
                let path = directory.unwrap_or(path);
                let absolute = absolute(&path).unwrap_or_else(|_| path.clone());
                Self { absolute, path, interface, attribute, origin: Origin::Path(kind) }
            }
            Named::Example(example) => {
                let path = PathBuf::from(example.name);
                let origin = Origin::Program(example.component);
                Self { absolute: path.clone(), path, interface: None, attribute: None, origin }
            }
            Named::Bin { .. } => {
                let path = PathBuf::from("bin");
                Self { absolute: path.clone(), path, interface: None, attribute: None, origin: Origin::Bin }
            }
        }
    }

    /// The path as the user named it; a crate's directory if they named its manifest.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the source looks like what it has to be, so that a mistake is reported before anything is built or
    /// bound.
    ///
    /// # Errors
    ///
    /// It cannot be served. The error names the source, says what it is instead, and what to type.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let checked = match self.origin {
            Origin::Path(Kind::Component) => mistake::check_component(&self.path),
            Origin::Path(Kind::Rust) => mistake::check_rust(&self.path),
            Origin::Path(Kind::Crate) => mistake::check_crate(&self.path),
            // By the path that the user knows.
            Origin::Path(Kind::Python) if python::name::is_python(&self.path) && !self.path.exists() => {
                mistake::metadata(&self.path).map(|_| ())
            }
            Origin::Path(Kind::Python) => python::check(&self.place(), self.attribute.as_deref()),
            Origin::Path(Kind::Files) => mistake::check_directory(&self.path),
            Origin::Program(_) | Origin::Bin => Ok(()),
        };
        checked.map_err(|why| anyhow!("{self} {why:#}"))
    }

    /// Whether the source is a directory whose files are served.
    #[must_use]
    pub(crate) fn is_directory(&self) -> bool {
        self.origin == Origin::Path(Kind::Files)
    }

    /// Whether it is the request bin.
    #[must_use]
    pub(crate) fn is_bin(&self) -> bool {
        self.origin == Origin::Bin
    }

    /// Whether the source is a component's file.
    #[must_use]
    pub(crate) fn is_component(&self) -> bool {
        self.origin == Origin::Path(Kind::Component)
    }

    /// Whether the source is a WSGI app.
    #[must_use]
    pub(crate) fn is_python(&self) -> bool {
        self.origin == Origin::Path(Kind::Python)
    }

    /// Finds the WSGI app that the source is, and installs its dependencies if they are not installed. Blocks until
    /// that is done.
    ///
    /// # Errors
    ///
    /// There is no such module, or a dependency cannot be installed. The line names the source.
    pub(crate) fn app(&self, finder: &python::Finder, messages: &Messages) -> Result<python::Found, Failure> {
        let found = finder.find(&self.place(), self.attribute.as_deref(), messages);
        found.map_err(|failure| Failure { line: anyhow!("{self} {:#}", failure.line), ..failure })
    }

    /// What the user may have meant instead, if that is likely.
    #[must_use]
    pub(crate) fn doubt(&self) -> Option<String> {
        let why = match self.origin {
            Origin::Path(Kind::Files) => mistake::handlers_instead(&self.path),
            Origin::Path(Kind::Python) if self.path.is_dir() && self.attribute.is_none() => {
                Some(mistake::files_instead(&self.path))
            }
            _ => None,
        };
        Some(format!("{self} {}", why?))
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
        let built = self.build_any(options)?;
        let has_handler = wasm::has_handler(&built.bytes);
        if has_handler { Ok(built) } else { Err(anyhow!("{self} has no handler; add `handler!(app);`").into()) }
    }

    /// Builds the source into a component, which need not be a handler. Blocks until cargo has finished.
    ///
    /// # Errors
    ///
    /// The build fails, or the source is not something to build. The line names the source.
    pub(super) fn build_any(&self, options: &BuildOptions) -> Result<build::Component, Failure> {
        let built = match self.origin {
            Origin::Path(Kind::Component) | Origin::Program(_) | Origin::Bin => Err(anyhow!(
                "is neither a Rust file nor a crate, but a component already; serve it: `wasmserve {}`",
                self.path.display()
            )
            .into()),
            Origin::Path(Kind::Rust) => build::file(&self.place(), &self.path, options),
            Origin::Path(Kind::Crate) => build::package(&self.place(), options),
            Origin::Path(Kind::Python) => unreachable!("Python is built by its kind"),
            Origin::Path(Kind::Files) => Err(mistake::not_a_crate(&self.path).into()),
        };
        let hint = || match mistake::crate_of(&self.path) {
            Some(directory) if self.origin == Origin::Path(Kind::Rust) => {
                format!("; it belongs to a crate, which `wasmserve {}` serves", directory.display())
            }
            _ => String::new(),
        };
        built.map_err(|failure| Failure { line: anyhow!("{self} {:#}{}", failure.line, hint()), ..failure })
    }

    /// Builds and runs the source's tests, with these arguments. Blocks until they have ended.
    ///
    /// # Errors
    ///
    /// The tests do not build, or there is no source to build. The line names the source.
    pub(crate) fn test(&self, arguments: &[OsString], options: &BuildOptions) -> Result<ExitStatus, Failure> {
        let tested = match self.origin {
            Origin::Path(Kind::Component) | Origin::Program(_) | Origin::Bin => {
                Err(anyhow!("has no tests; name a Rust file or a crate").into())
            }
            Origin::Path(Kind::Rust) => build::test_file(&self.path, arguments, options),
            Origin::Path(Kind::Crate) => build::test_package(&self.path, arguments),
            Origin::Path(Kind::Python) => Err(anyhow!(
                "is Python, whose tests wasmserve does not run; run them with pytest or `python3 -m unittest`"
            )
            .into()),
            Origin::Path(Kind::Files) => Err(mistake::not_a_crate(&self.path).into()),
        };
        tested.map_err(|failure| Failure { line: anyhow!("{self} {:#}", failure.line), ..failure })
    }

    /// The absolute path of the source: that of the start, and if nothing is there, because the working directory was
    /// renamed, the one that the user's path has now.
    pub(super) fn place(&self) -> PathBuf {
        let now = || absolute(&self.path).ok().filter(|now| now.exists());
        Some(&self.absolute)
            .filter(|place| place.exists())
            .cloned()
            .or_else(now)
            .unwrap_or_else(|| self.absolute.clone())
    }

    /// The files and directories whose changes are changes of the source, which was built from `sources`, or whose
    /// build failed and named them.
    pub(super) fn scope(&self, sources: Vec<PathBuf>) -> Scope {
        let mut scope = Scope { files: sources.into_iter().collect(), ..Scope::default() };
        if let Origin::Path(kind) = self.origin {
            let place = self.place();
            scope.files.insert(self.absolute.clone());
            match kind {
                Kind::Component | Kind::Files => {}
                Kind::Rust => {
                    scope.sources = place.parent().map(Path::to_owned);
                    build::add_inputs_of_file(&mut scope, &place);
                }
                Kind::Crate => build::add_inputs_of_package(&mut scope, &place),
                Kind::Python => python::add_inputs(&mut scope, &place, self.attribute.as_deref()),
            }
            scope.place = (kind != Kind::Component).then(|| place.clone());
            scope.files.insert(place);
        }
        scope
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.attribute {
            Some(attribute) => write!(f, "`{}:{attribute}`", self.path.display()),
            None => write!(f, "`{}`", self.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::scope::Points;

    fn points(path: &str, sources: &[&str]) -> Points {
        Source::new(OsString::from(path).into()).scope(sources.iter().map(Into::into).collect()).survey().points
    }

    #[test]
    fn a_component_changes_only_with_its_file_and_what_leads_to_it() {
        let points = points("/nowhere.wasm", &[]);
        assert!(points.contain(Path::new("/nowhere.wasm")));
        assert!(!points.contain(Path::new("/else.wasm")) && !points.contain(Path::new("/")));
        assert_eq!(points.directories().into_iter().collect::<Vec<_>>(), [Path::new("/")]);
    }

    #[test]
    fn a_source_changes_with_what_it_was_built_from_and_with_rust_files_beside_it() {
        let base = std::env::temp_dir().join(format!("wasmserve-scope-{}", std::process::id()));
        for directory in ["file/deep", "crate/src/deep", "crate/target/debug"] {
            fs::create_dir_all(base.join(directory)).expect("a temporary directory is writable");
        }
        let base = base.canonicalize().expect("the directory exists");
        let at = |name: &str| base.join(name).display().to_string();
        let file = points(&at("file/a.rs"), &[&at("file/page.html"), &at("elsewhere/b.rs")]);
        for path in ["file/a.rs", "file/page.html", "file/new.rs", "elsewhere", "file"] {
            assert!(file.contain(&base.join(path)), "{path}");
        }
        for path in ["file/data.json", "file/deep/d.rs", "other"] {
            assert!(!file.contain(&base.join(path)), "{path}");
        }
        let krate = points(&at("crate/Cargo.toml"), &[]);
        for path in ["crate/src/deep/a.rs", "crate/src/page.html", "crate/Cargo.toml", "crate/Cargo.lock", "Cargo.toml"]
        {
            assert!(krate.contain(&base.join(path)), "{path}");
        }
        assert!(!krate.contain(&base.join("crate/target/debug/a.rs")));
        assert!(krate.can_change_below(&base) && krate.can_change_below(&base.join("crate/src/deep")));
        assert!(!krate.can_change_below(&base.join("crate/target")));
        _ = fs::remove_dir_all(base);
    }

    #[test]
    fn a_prefix_decides_the_kind_of_a_source() {
        let named = |text: &str| match Named::from(OsString::from(text)) {
            Named::Path { kind, path, .. } => (kind, path.to_string_lossy().into_owned()),
            Named::Example(_) | Named::Bin { .. } => unreachable!("the text is a path"),
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
        assert_eq!(Kind::of(&directory), Kind::Files);
        fs::write(directory.join("Cargo.toml"), "").expect("the file is writable");
        assert_eq!(Kind::of(&directory), Kind::Crate);
        for (shebang, wanted) in [
            ("#!/usr/bin/env -S wasmserve --port 9000\nfn main() {}", Kind::Rust),
            ("\u{feff}#! /opt/bin/wasmserve\r\nfn main() {}\r\n", Kind::Rust),
            ("#!/usr/bin/env -S cargo +nightly -Zscript\n", Kind::Rust),
            ("#!/bin/sh\nexec wasmserve hello.rs\n", Kind::Component),
            ("#!/usr/bin/env python3\n", Kind::Python),
            ("#!/usr/bin/env -S uv run --script\n", Kind::Python),
            ("# /// script\n# dependencies = []\n# ///\n", Kind::Python),
            ("#!/usr/bin/env wasmserve\nimport os\n", Kind::Python),
            ("#!/usr/bin/env node\n", Kind::Component),
            (" #!/usr/bin/env wasmserve\n", Kind::Component),
        ] {
            assert_eq!(kind("my script", shebang.as_bytes()), wanted, "{shebang}");
        }
        _ = fs::remove_dir_all(directory);
    }
}
