//! Reads the command line, runs the server, and turns how it went into an exit code.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use wasmserve::{args::Args, exit::Exit, start};

fn main() -> ExitCode {
    let exit = Args::from_command_line().and_then(start::run).unwrap_or_else(|error| {
        // If nobody reads it, the exit code still tells.
        _ = match error.exit() {
            Exit::Done => io::stdout().write_all(error.message().as_bytes()),
            _ => io::stderr().write_all(error.message().as_bytes()),
        };
        error.exit()
    });
    exit.into()
}
