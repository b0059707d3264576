//! What there is to do besides serving a handler.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use clap_complete::Shell;

use super::flags::Flags;
use crate::{base::size, kind::wasm::component, program::config, source::example};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a handler to begin with: one file, or a crate
    New(NewArgs),

    /// Build a handler from its source, and do not serve it
    Build(BuildArgs),

    /// Tell what a component is, and whether it can be served
    Inspect(InspectArgs),

    /// Print exactly what clients send, without reading it as HTTP and without a handler
    Dump(DumpArgs),

    /// Print the log records that Python's logging.handlers.HTTPHandler sends
    Logs(ExampleArgs),

    /// Send each body back as it comes
    Echo(ExampleArgs),

    /// Print what a shell needs to complete this command
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print the manual page: `wasmserve man | man -l -`
    Man {
        /// That of one command
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// What to call it; the file is NAME.rs
    pub(super) name: PathBuf,

    /// What to begin with
    #[arg(long, value_name = "TEMPLATE", default_value = "hello",
          value_parser = PossibleValuesParser::new(example::TEMPLATES.map(|template| template.name)))]
    pub(super) template: String,

    /// Make a crate, with a test for `cargo test`
    #[arg(long = "crate")]
    pub(super) is_crate: bool,
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// A Rust file, or a crate's directory
    pub(super) source: OsString,

    /// Where to write the component; named for its source and in the current directory if not given
    #[arg(short, long, value_name = "HANDLER.WASM")]
    pub(super) output: Option<PathBuf>,

    /// Let it tell files and lines in its stacks
    #[arg(long)]
    pub(super) debug: bool,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The component
    #[arg(value_name = "HANDLER.WASM")]
    pub(super) file: PathBuf,

    /// How large its file may be
    #[arg(long, value_name = "SIZE", default_value = size::text(component::SIZE_MAX), value_parser = size::parse)]
    pub(super) max_component: u64,
}

#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    /// End when the first connection has ended
    #[arg(long)]
    pub(super) once: bool,

    /// Answer `200 OK` to a client that has sent something and then nothing for 200 ms, or that has sent all
    #[arg(long)]
    pub(super) reply: bool,

    /// Print octets and text side by side, as `hexdump -C` does
    #[arg(long)]
    pub(super) hex: bool,

    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = config::ADDR)]
    pub(super) addr: String,
}

#[derive(Debug, Args)]
pub(super) struct ExampleArgs {
    /// Write the handler's source as a file to change, instead of serving it
    #[arg(long)]
    pub(super) eject: bool,

    #[command(flatten)]
    pub(super) flags: Flags,
}
