//! What the user typed.

use std::{path::PathBuf, time::Duration};

use clap::{Args as Flags, Parser, Subcommand};

/// Measure what a fresh instance for every request costs, beside a bare hyper and beside other servers.
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

/// What there is to measure.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Mode {
    /// The cost of a request, for each server and each guest (this is the default)
    Requests,
    /// The cost of a request with more connections, more components, larger components; and throughput on one core and two
    Scale,
    /// From exec to the first answer, and memory
    Start,
    /// Exchanges that wait for their bodies: how many there may be, and the memory of each
    Waiting,
    /// All of these
    All,
    /// Call a guest so many times in this process, without a network: for instruction counts and profiles
    Calls {
        /// hello, environ, reads_five_variables, mirrors_fields, answers_json, streams
        guest: String,
        /// How many times
        count: u64,
    },
    /// Be the bare hyper that the others are compared with
    #[command(hide = true)]
    Bare {
        /// Where to listen
        port: u16,
        /// A runtime of its own for each core, instead of one for all
        #[arg(long)]
        per_core: bool,
    },
}

/// How to measure.
#[derive(Clone, Debug, Flags)]
pub struct Plan {
    /// How many times each server has its turn [default: 5; with --short 1]
    #[arg(long, global = true)]
    rounds: Option<usize>,

    /// How long a turn is measured [default: 3; with --short 0.2]
    #[arg(long, global = true, value_name = "SECONDS")]
    seconds: Option<f64>,

    /// How many connections ask at the same time
    #[arg(long, global = true, default_value = "32")]
    pub connections: usize,

    /// Only servers and guests with one of these in their names (the bare hyper is always there)
    #[arg(long, global = true, value_name = "NAME,..", value_delimiter = ',')]
    pub only: Vec<String>,

    /// How many exchanges are to wait for their bodies [default: 1000, which is what a server lets run without a flag; with
    /// --short 50]
    #[arg(long, global = true, value_name = "NUMBER")]
    waiting: Option<usize>,

    /// A `wasmserve` to measure instead of the one that is built of this workspace
    #[arg(long, global = true, value_name = "FILE")]
    pub wasmserve: Option<PathBuf>,

    /// One short round, to see that everything works
    #[arg(long, global = true)]
    pub short: bool,
}

impl Plan {
    /// How many times each has its turn.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.short { 1 } else { 5 }).max(1)
    }

    /// How long a turn is measured.
    #[must_use]
    pub fn turn(&self) -> Duration {
        let seconds = self.seconds.unwrap_or(if self.short { 0.2 } else { 3.0 });
        Duration::try_from_secs_f64(seconds)
            .unwrap_or_default()
            .clamp(Duration::from_millis(50), Duration::from_hours(1))
    }

    /// How many exchanges are to wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.unwrap_or(if self.short { 50 } else { 1000 })
    }

    /// Whether something of that name is to be measured.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}
