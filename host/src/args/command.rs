//! What there is to do besides serving a handler.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use clap_complete::Shell;

use super::{flags::Flags, shell, value};
use crate::{
    config::{Build, Compile, Dump, Inspect, Making, New, Source, Task},
    example::{self, Example},
    exit::{Exit, StartError},
    gateway::mounts::Mounts,
};

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
    name: PathBuf,

    /// What to begin with
    #[arg(long, value_name = "TEMPLATE", default_value = "hello",
          value_parser = PossibleValuesParser::new(example::TEMPLATES.map(|template| template.name)))]
    template: String,

    /// Make a crate, with a test for `cargo test`
    #[arg(long = "crate")]
    is_crate: bool,
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// A Rust file, or a crate's directory
    source: PathBuf,

    /// Where to write the component; named for its source and in the current directory if not given
    #[arg(short, long, value_name = "HANDLER.WASM")]
    output: Option<PathBuf>,

    /// Let it tell files and lines in its stacks
    #[arg(long)]
    debug: bool,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The component
    #[arg(value_name = "HANDLER.WASM")]
    file: PathBuf,

    /// How large its file may be
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = value::size)]
    max_component: u64,
}

#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    /// End when the first connection has ended
    #[arg(long)]
    once: bool,

    /// Answer `200 OK` to a client that has sent something and then nothing for 200 ms, or that has sent all
    #[arg(long)]
    reply: bool,

    /// Print octets and text side by side, as `hexdump -C` does
    #[arg(long)]
    hex: bool,

    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8000")]
    addr: String,
}

#[derive(Debug, Args)]
pub(super) struct ExampleArgs {
    /// Write the handler's source as a file to change, instead of serving it
    #[arg(long)]
    eject: bool,

    #[command(flatten)]
    flags: Flags,
}

impl Command {
    /// What it comes to. `program` is this one.
    ///
    /// # Errors
    ///
    /// Something was asked for that has been made already: a text.
    pub(super) fn into_task(self, program: PathBuf) -> Result<Task, StartError> {
        match self {
            Self::New(NewArgs { name, template, is_crate }) => {
                Ok(Task::New(New { name, template: example::template(&template), is_crate }))
            }
            Self::Build(BuildArgs { source, output, debug }) => {
                Ok(Task::Build(Making { source, output, build: Build { lines: debug, color: value::is_colorful() } }))
            }
            Self::Inspect(InspectArgs { file, max_component }) => {
                Ok(Task::Inspect(Inspect { file, component: max_component, compile: Compile::new(program) }))
            }
            Self::Dump(DumpArgs { once, reply, hex, addr }) => Ok(Task::Dump(Dump { addr, once, reply, hex })),
            Self::Logs(args) => Ok(args.into_task(&example::LOGS, program)),
            Self::Echo(args) => Ok(args.into_task(&example::ECHO, program)),
            Self::Completions { shell } => Err(StartError::help(shell::completions(shell))),
            Self::Man { of } => Err(match shell::manual(of.as_deref()) {
                Some(page) => StartError::help(page),
                None => {
                    let name = of.unwrap_or_default();
                    StartError::new(Exit::Usage, &anyhow!("there is no command `{name}` with a manual; see --help"))
                }
            }),
        }
    }
}

impl ExampleArgs {
    fn into_task(self, example: &'static Example, program: PathBuf) -> Task {
        if self.eject {
            return Task::Eject(example);
        }
        let compile = self.flags.compile(program);
        let handlers = Mounts::root(Source::Example(example));
        Task::Serve(Box::new(self.flags.into_config(handlers, compile)))
    }
}
