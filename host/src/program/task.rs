//! What there is to do, and what it takes.

use std::{ffi::OsString, path::PathBuf};

use super::config::Config;
use crate::{
    kind::wasm::compile::CompileOptions,
    source::{
        build::options::BuildOptions,
        example::{Example, Template},
    },
};

/// What the program is to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Serve until it is told to stop.
    Serve(Box<Config>),
    /// Compile one component, for a server that waits for it.
    Compile(CompileOptions),
    /// Write a handler to begin with.
    New(New),
    /// Write the source of a handler that is inside of this program.
    Eject(&'static Example),
    /// Tell what a component is.
    Inspect(Inspect),
    /// Print what clients send.
    Dump(Dump),
    /// Build one handler, and do not serve it.
    Build(Build),
}

/// A handler to build: `wasmserve build`.
#[derive(Debug)]
pub(crate) struct Build {
    /// Its source: a file or a crate.
    pub source: OsString,
    /// Where the component goes; into the current directory if `None`.
    pub output: Option<PathBuf>,
    /// How.
    pub options: BuildOptions,
}

/// A handler to begin with: `wasmserve new`.
#[derive(Debug)]
pub(crate) struct New {
    /// What to call it, and where: the file without its `.rs`, or the directory of a crate.
    pub name: PathBuf,
    /// What to begin with.
    pub template: &'static Template,
    /// Whether it is to be a crate.
    pub is_crate: bool,
}

/// A component to tell of: `wasmserve inspect`.
#[derive(Debug)]
pub(crate) struct Inspect {
    /// Its file.
    pub file: PathBuf,
    /// How many octets it may have.
    pub component: u64,
    /// How it is compiled, to see whether it can be.
    pub compile: CompileOptions,
}

/// A server that only prints: `wasmserve dump`.
#[derive(Debug)]
pub(crate) struct Dump {
    /// Where to listen, as `HOST:PORT`.
    pub addr: String,
    /// Whether it ends with the first connection.
    pub once: bool,
    /// Whether clients get an answer.
    pub reply: bool,
    /// Whether octets are printed as numbers.
    pub hex: bool,
}
