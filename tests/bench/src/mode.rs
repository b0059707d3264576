//! What there is to measure: one file each.

mod calls;

mod requests;

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

/// Does what the user asked for.
///
/// # Errors
///
/// A server does not start, or does not answer as it must.
pub fn run(args: Args) -> Result<()> {
    // A thousand connections need more descriptors than a shell gives.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let plan = &args.plan;
    match args.mode.unwrap_or(Mode::Requests) {
        Mode::Requests => requests::run(plan),
        Mode::Scale => scale::run(plan),
        Mode::Start => start::run(plan),
        Mode::Waiting => waiting::run(plan),
        Mode::All => [requests::run, scale::run, start::run, waiting::run].into_iter().try_for_each(|run| run(plan)),
        Mode::Calls { guest, count } => calls::run(&guest, count),
        Mode::Bare { port, per_core } => bare::serve(port, per_core),
    }
}

/// Says how far it is.
fn tell(line: &str) {
    #[expect(clippy::print_stderr, reason = "it is a program")]
    {
        eprintln!("{line}");
    }
}

/// Prints what it came to.
fn print(table: &Table) {
    #[expect(clippy::print_stdout, reason = "it is a program")]
    {
        println!("{table}");
    }
}
