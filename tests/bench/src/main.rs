//! The benchmark: `cargo run --release -p wasmserve-bench -- [requests|scale|start|waiting|files|calls|all]`

use std::process::ExitCode;

use clap::Parser as _;
use wasmserve_bench::{args::Args, mode};

fn main() -> ExitCode {
    match mode::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        #[expect(clippy::print_stderr, reason = "a program may print")]
        Err(error) => {
            eprintln!("wasmserve-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
