//! The program: parses the command line and runs the command.

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

/// Parses this process's command line, runs the command, and returns its exit code.
pub fn main() -> ExitCode {
    let exit = args::from_command_line().and_then(run).unwrap_or_else(|error| {
        // If the output is closed, the exit code still shows the result.
        _ = match error.exit() {
            Exit::Done => io::stdout().write_all(error.message().as_bytes()),
            _ => io::stderr().write_all(error.message().as_bytes()),
        };
        error.exit()
    });
    exit.into()
}

/// Runs the command.
///
/// # Errors
///
/// The command failed before it did anything.
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

/// Prints the result of a command on stdout.
fn print(text: anyhow::Result<String>) -> Result<Exit, StartError> {
    let text = text.map_err(|error| StartError::new(Exit::Failed, &error))?;
    // The command has succeeded even if stdout is closed.
    _ = io::stdout().write_all(text.as_bytes());
    Ok(Exit::Done)
}
