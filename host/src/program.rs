//! The program: parses the command line and runs the command.

pub(crate) mod args;
pub(crate) mod commands;
pub(crate) mod config;
pub(crate) mod task;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;

use self::{
    commands::{build, clean, convert, doc, dump, export, inspect, new, replay, serve, test, ui, wit},
    task::Task,
};
use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        output,
    },
    kind::wasm::compile,
    listen::access_log::{self, format::Format},
};

/// Parses this process's command line, runs the command, and returns its exit code.
pub fn main() -> ExitCode {
    let task = args::from_command_line();
    // Before the command line is understood, errors are text.
    let is_json = matches!(&task, Ok(Task::Serve(config)) if config.access_log == Format::Json);
    let exit = task.and_then(run).unwrap_or_else(|error| {
        let error = match error.exit() {
            Exit::Done => match print(error.message()) {
                Ok(exit) => return exit,
                Err(error) => error,
            },
            _ => error,
        };
        // If stderr is closed, the exit code still shows the result.
        let message = if is_json { access_log::start_error(&error) } else { error.message().to_owned() };
        _ = io::stderr().write_all(message.as_bytes());
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
        Task::Compile(abi, options) => compile::compile_only(abi, &options),
        Task::New(new) => print_result(new::new(&new)),
        Task::Eject(example) => print_result(new::eject(example)),
        Task::Inspect(inspect) => inspect::run(&inspect),
        Task::Dump(dump) => dump::run(dump),
        Task::Convert(convert) => convert::run(&convert),
        Task::Ui(ui) => ui::run(ui),
        Task::Build(build) => build::run(build),
        Task::Export(export) => export::run(export),
        Task::Replay(task) => replay::run(*task),
        Task::Test(test) => test::run(test),
        Task::Wit(directory) => print_result(wit::wit(directory.as_deref())),
        Task::Doc { is_colorful } => doc::run(is_colorful),
        Task::Clean => print_result(clean::clean()),
    }
}

/// Prints the result of a command on stdout.
fn print_result(text: anyhow::Result<String>) -> Result<Exit, StartError> {
    print(&text.or_exit(Exit::Failed)?)
}

/// Prints a text on stdout. It is fine if its reader has seen enough.
fn print(text: &str) -> Result<Exit, StartError> {
    match output::print(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("stdout cannot be written").or_exit(Exit::Failed)
        }
        _ => Ok(Exit::Done),
    }
}
