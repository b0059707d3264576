//! The program: what was typed, and what comes of it.

pub(crate) mod args;
pub(crate) mod commands;
pub(crate) mod config;
pub(crate) mod task;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use self::{
    commands::{build, dump, inspect, new, serve},
    task::Task,
};
use crate::{
    base::exit::{Exit, StartError},
    kind::wasm::compile,
};

/// Reads this process's command line, does what it asks for, and turns how that went into an exit code.
pub fn main() -> ExitCode {
    let exit = args::from_command_line().and_then(run).unwrap_or_else(|error| {
        // If nobody reads it, the exit code still says how it went.
        _ = match error.exit() {
            Exit::Done => io::stdout().write_all(error.message().as_bytes()),
            _ => io::stderr().write_all(error.message().as_bytes()),
        };
        error.exit()
    });
    exit.into()
}

/// Does what the program was called for.
///
/// # Errors
///
/// What was asked for cannot be done; nothing has been done then.
fn run(task: Task) -> Result<Exit, StartError> {
    match task {
        Task::Serve(config) => serve::run(*config),
        Task::Compile(options) => compile::compile_only(&options),
        Task::New(new) => print(new::new(&new)),
        Task::Eject(example) => print(new::eject(example)),
        Task::Inspect(inspect) => inspect::run(&inspect),
        Task::Dump(dump) => dump::run(&dump),
        Task::Build(build) => build::run(build),
    }
}

/// Prints what came of something on stdout.
fn print(text: anyhow::Result<String>) -> Result<Exit, StartError> {
    let text = text.map_err(|error| StartError::new(Exit::Failed, &error))?;
    // If nobody reads it, it was done all the same.
    _ = io::stdout().write_all(text.as_bytes());
    Ok(Exit::Done)
}
