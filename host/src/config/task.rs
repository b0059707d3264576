//! What there is to do, and what it takes.

use std::path::PathBuf;

use super::{Build, Compile, Config};
use crate::example::{Example, Template};

/// What the program is to do.
#[derive(Debug)]
pub enum Task {
    /// Serve until it is told to stop.
    Serve(Box<Config>),
    /// Compile one component, for a server that waits for it.
    Compile(Compile),
    /// Write a handler to begin with.
    New(New),
    /// Write the source of a handler that is inside of this program.
    Eject(&'static Example),
    /// Tell what a component is.
    Inspect(Inspect),
    /// Print what clients send.
    Dump(Dump),
    /// Build one handler, and do not serve it.
    Build(Making),
}

/// A handler to build: `wasmserve build`.
#[derive(Debug)]
pub struct Making {
    /// Its source: a file or a crate.
    pub source: PathBuf,
    /// Where the component goes; into the current directory if `None`.
    pub output: Option<PathBuf>,
    /// How.
    pub build: Build,
}

/// A handler to begin with: `wasmserve new`.
#[derive(Debug)]
pub struct New {
    /// What to call it, and where: the file without its `.rs`, or the directory of a crate.
    pub name: PathBuf,
    /// What to begin with.
    pub template: &'static Template,
    /// Whether it is to be a crate.
    pub is_crate: bool,
}

/// A component to tell of: `wasmserve inspect`.
#[derive(Debug)]
pub struct Inspect {
    /// Its file.
    pub file: PathBuf,
    /// How many octets it may have.
    pub component: u64,
    /// How it is compiled, to see whether it can be.
    pub compile: Compile,
}

/// A server that only prints: `wasmserve dump`.
#[derive(Debug)]
pub struct Dump {
    /// Where to listen, as `HOST:PORT`.
    pub addr: String,
    /// Whether it ends with the first connection.
    pub once: bool,
    /// Whether clients get an answer.
    pub reply: bool,
    /// Whether octets are printed as numbers.
    pub hex: bool,
}

/// Where a handler comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file or a directory.
    File(PathBuf),
    /// This program.
    Example(&'static Example),
}
