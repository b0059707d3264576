//! The command line.

use std::{env, path::PathBuf, time::Duration};

use clap::{Args as Flags, Parser, Subcommand, ValueEnum};

/// Measure what a fresh instance per request costs, compared with a bare hyper and with other servers.
#[derive(Debug, Parser)]
#[command(name = "wasmserve-bench", max_term_width = 100)]
pub struct Args {
    /// What to measure.
    #[command(subcommand)]
    pub mode: Option<Mode>,

    /// How to measure it.
    #[command(flatten)]
    pub plan: Plan,
}

/// What can be measured.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Mode {
    /// The cost of a request, for each server and each guest (the default)
    Requests,
    /// The cost of a request with more connections, more components and larger components; throughput on one core and
    /// on two
    Scale,
    /// The time from exec to the first response, and memory
    Start,
    /// Exchanges that wait for their bodies: how many fit, and the memory of each
    Waiting,
    /// The cost of a file from a directory, for servers of files
    Files,
    /// Python applications, beside other servers for Python
    Python {
        /// Only these parts
        parts: Vec<Part>,
    },
    /// All of these
    All,
    /// Call a guest repeatedly in this process, without a network: for instruction counts and profiles
    Calls {
        /// hello, environ, reads_five_variables, mirrors_fields, answers_json, streams
        guest: String,
        /// The number of calls
        count: u64,
    },
    /// Run the bare hyper that the others are compared with
    #[command(hide = true)]
    Bare {
        /// The port to listen on
        port: u16,
        /// Use one runtime per core instead of a shared one
        #[arg(long)]
        per_core: bool,
    },
}

/// What can be measured of Python applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The cost of a request
    Requests,
    /// The memory of requests that wait
    Memory,
    /// The time from exec to the first response
    Starts,
    /// The time from a save to the first response of the new version
    Edits,
}

/// How to measure.
#[derive(Clone, Debug, Flags)]
pub struct Plan {
    /// How many times to measure each server [default: 5; with --short 1]
    #[arg(long, global = true)]
    rounds: Option<usize>,

    /// How long to measure each time [default: 3; with --short 0.2]
    #[arg(long, global = true, value_name = "SECONDS")]
    seconds: Option<f64>,

    /// How many connections send requests at the same time
    #[arg(long, global = true, default_value = "32")]
    pub connections: usize,

    /// Only servers and guests whose names contain one of these (always includes the bare hyper)
    #[arg(long, global = true, value_name = "NAME,..", value_delimiter = ',')]
    pub only: Vec<String>,

    /// How many exchanges wait for their bodies [default: 1000, the server's default limit; with --short 50]
    #[arg(long, global = true, value_name = "NUMBER")]
    waiting: Option<usize>,

    /// A virtual environment with gunicorn, Flask, Django and Pyramid [default: the active one]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    venv: Option<PathBuf>,

    /// A `wasmserve` to measure instead of one built from this workspace
    #[arg(long, global = true, value_name = "FILE")]
    pub wasmserve: Option<PathBuf>,

    /// One short round, to check that everything works
    #[arg(long, global = true)]
    pub short: bool,
}

impl Plan {
    /// How many times to measure each server.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.short { 1 } else { 5 }).max(1)
    }

    /// How long to measure each time.
    #[must_use]
    pub fn turn(&self) -> Duration {
        let seconds = self.seconds.unwrap_or(if self.short { 0.2 } else { 3.0 });
        Duration::try_from_secs_f64(seconds)
            .unwrap_or_default()
            .clamp(Duration::from_millis(50), Duration::from_hours(1))
    }

    /// How many exchanges wait for their bodies.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.unwrap_or(if self.short { 50 } else { 1000 })
    }

    /// The virtual environment for Python applications and their servers, if there is one.
    #[must_use]
    pub fn venv(&self) -> Option<PathBuf> {
        self.venv.clone().or_else(|| env::var_os("VIRTUAL_ENV").map(PathBuf::from))
    }

    /// Whether to measure something with this name.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}
