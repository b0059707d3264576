//! The tasks that the program can perform, with their parameters.

use std::{ffi::OsString, path::PathBuf};

use super::config::Config;
use crate::{
    base::address::Address,
    kind::wasm::compile::CompileOptions,
    source::{
        build::options::BuildOptions,
        example::{Example, Template},
    },
};

/// What the program has to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Serve handlers until something stops the server.
    Serve(Box<Config>),
    /// Compile a component, for a server that waits for it.
    Compile(CompileOptions),
    /// Create a new handler.
    New(New),
    /// Write the source of a built-in handler to a file.
    Eject(&'static Example),
    /// Show what a component contains.
    Inspect(Inspect),
    /// Print what clients send.
    Dump(Dump),
    /// Build a handler without serving it.
    Build(Build),
}

/// The parameters of `wasmserve build`.
#[derive(Debug)]
pub(crate) struct Build {
    /// The source: a file or a crate.
    pub source: OsString,
    /// Where to write the component; into the current directory if `None`.
    pub output: Option<PathBuf>,
    /// How to build it.
    pub options: BuildOptions,
}

/// The parameters of `wasmserve new`.
#[derive(Debug)]
pub(crate) struct New {
    /// The path of the file, with or without `.rs`, or of the crate's directory.
    pub name: PathBuf,
    /// The template to start from.
    pub template: &'static Template,
    /// Whether to create a crate.
    pub is_crate: bool,
}

/// The parameters of `wasmserve inspect`.
#[derive(Debug)]
pub(crate) struct Inspect {
    /// The component's file.
    pub file: PathBuf,
    /// The maximum size of the file in bytes.
    pub component: u64,
    /// How the component is compiled, which checks whether it compiles.
    pub compile: CompileOptions,
}

/// The parameters of `wasmserve dump`.
#[derive(Debug)]
pub(crate) struct Dump {
    /// The address to listen on.
    pub addr: Address,
    /// Whether to exit when the first connection has ended.
    pub once: bool,
    /// Whether to answer clients.
    pub reply: bool,
    /// Whether to print bytes as hexadecimal numbers.
    pub hex: bool,
}
