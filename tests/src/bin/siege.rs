//! Runs sieges against a server in release mode, and prints their reports.
//!
//! `cargo run --release -p wasmserve-tests --bin siege -- [all|spin|faults|…] [--short]`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program may print")]

use std::{env, io, process::ExitCode};

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use wasmserve_tests::siege::{self, SIEGES, Scale};

/// More than any siege has open at the same time.
const DESCRIPTORS: i32 = 4096;

fn main() -> ExitCode {
    let (mut scale, mut names) = (Scale::Full, Vec::new());
    for word in env::args().skip(1) {
        match &*word {
            "--short" => scale = Scale::Short,
            "all" => names.extend(SIEGES.map(|(name, _)| name)),
            _ => match SIEGES.iter().find(|(name, _)| *name == word) {
                Some((name, _)) => names.push(name),
                None => return usage(),
            },
        }
    }
    if names.is_empty() {
        return usage();
    }
    // A thousand connections need more descriptors than a shell allows.
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        eprintln!("siege: cannot raise the descriptor limit: {error}");
    }
    // Grow the descriptor table while there is only one thread. Later all threads would wait for it, and the delay
    // would be attributed to the server.
    if let Err(error) = fcntl_dupfd_cloexec(io::stderr(), DESCRIPTORS) {
        eprintln!("siege: cannot grow the descriptor table: {error}");
    }
    let mut are_counts_right = true;
    for name in names {
        let report = siege::lay(name, scale);
        println!("{report}");
        are_counts_right &= report.wrong_counts().is_empty();
    }
    if are_counts_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    let names = SIEGES.map(|(name, _)| name).join("|");
    eprintln!("usage: siege [all|{names}].. [--short]");
    ExitCode::from(2)
}
