//! The command line: a handler with its flags, or a subcommand.

use std::ffi::OsString;

use clap::{Parser, ValueHint};
use wasmserve_gateway::mounts::Mount;

use super::{
    command::{Command, ExampleArgs},
    flags::Flags,
    value,
};
use crate::source::locate::Named;

/// Serve a wasm component or a Python app in a fresh sandbox for every request, or a directory.
#[derive(Debug, Parser)]
#[command(name = "wasmserve", version, max_term_width = 100, after_help = ALL_EXIT_CODES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
pub(super) struct Args {
    /// A component, Rust file, crate, Python app (app.py, module:app) or directory; a prefix says which: component:,
    /// rust:, crate:, python:, files:, gateway:, wasi-http:, cgi:
    #[arg(value_name = "HANDLER", required_unless_present_any = ["mount", "ui"], value_hint = ValueHint::AnyPath)]
    pub(super) handler: Option<OsString>,

    /// Serve another handler below a path; `--timeout /a:5s` is for it only
    #[arg(long, value_name = "PATH=HANDLER", value_parser = value::mount())]
    pub(super) mount: Vec<(Mount, Named)>,

    #[command(flatten)]
    pub(super) flags: Flags,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

impl Args {
    /// Adds the limits that the user gave to the flags of the command that serves.
    pub(super) fn set_limits(&mut self, limits: &[String]) {
        let flags = match &mut self.command {
            Some(Command::Logs(ExampleArgs { flags, .. }) | Command::Echo(ExampleArgs { flags, .. })) => flags,
            Some(Command::Replay(args)) => &mut args.flags,
            _ => &mut self.flags,
        };
        flags.limits = limits.to_vec();
    }
}

/// The exit codes in `--help`.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage, 3 the address cannot be used, 4 the handler \
                          cannot be served; `wasmserve man` and --help-all list those of --once, --requests and --exec.";

/// The exit codes, with those of flags that `--help` does not show.
pub(super) const ALL_EXIT_CODES: &str = "Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage, 3 the address cannot be used, \
                          4 the handler cannot be served, 130 stopped at once by a second Ctrl-C. With --once or --requests: \
                          0 answered, 10 the handler failed, 11 the client left, 12 the request was refused, 13 stopped \
                          before all requests arrived. With replay: 14 a response differs, 15 something cannot be \
                          replayed. With --exec: the command's exit code.";
