//! The modes of the benchmark, one file each.

mod calls;

mod files;

mod python;

mod requests;

mod rotation;

mod scale;

mod start;

mod turn;

mod waiting;

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasmserve_tests::table::Table;

use crate::{
    args::{Args, Mode},
    bare,
};

/// Runs the modes that the user asked for.
///
/// # Errors
///
/// A server does not start, or a response is wrong.
pub fn run(args: Args) -> Result<()> {
    // A thousand connections need more descriptors than a shell allows.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let plan = &args.plan;
    match args.mode.unwrap_or(Mode::Requests) {
        Mode::Requests => requests::run(plan),
        Mode::Scale => scale::run(plan),
        Mode::Start => start::run(plan),
        Mode::Waiting => waiting::run(plan),
        Mode::Files => files::run(plan),
        Mode::Python { parts } => python::run(plan, &parts),
        Mode::All => {
            let all = [requests::run, scale::run, start::run, waiting::run, files::run];
            all.into_iter().try_for_each(|run| run(plan))?;
            python::run(plan, &[])
        }
        Mode::Calls { guest, count } => calls::run(&guest, count),
        Mode::Bare { port, per_core } => bare::serve(port, per_core),
    }
}

/// Prints progress to standard error.
fn progress(line: &str) {
    #[expect(clippy::print_stderr, reason = "a program may print")]
    {
        eprintln!("{line}");
    }
}

/// Prints a table.
fn print(table: &Table) {
    #[expect(clippy::print_stdout, reason = "a program may print")]
    {
        println!("{table}");
    }
}
