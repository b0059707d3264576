//! Whether the cost of a request stays the same as the server grows.
//!
//! Adds connections, components in one process, and larger components; and checks whether two cores do twice the work
//! of one.

use std::thread;

use anyhow::Result;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use wasmserve_tests::{place, table::Table};

use super::{
    rotation::{self, Entry},
    turn::{Turn, take},
};
use crate::{
    args::Plan,
    contender::{Contender, Grid},
    exercise::Exercise,
};

/// What is served, and how many connections send requests to it.
type Subject = (Servers, usize);

/// What is served.
enum Servers {
    /// The hello of this server.
    One(Contender),
    /// This many mounts of the same handler, requested in turn.
    Mounted(usize),
    /// A component of this many bytes.
    Sized(usize),
    /// The hello of wasmserve on this many cores.
    Cores(usize),
}

/// Measures, and prints a table.
///
/// # Errors
///
/// A server does not start, or a response is wrong.
pub(super) fn run(plan: &Plan) -> Result<()> {
    let grid = Grid::new(plan.wasmserve.clone());
    let mut entries = entries(plan);
    rotation::run(plan, &mut entries, |subject| measure(plan, &grid, subject))?;
    rotation::report(&entries, [table(&entries)])
}

fn entries(plan: &Plan) -> Vec<Entry<Subject>> {
    let mut entries = Vec::new();
    let mut add = |name: String, servers, connections| {
        if plan.wants(&name) {
            entries.push(Entry::new(name, (servers, connections)));
        }
    };
    for connections in [1, 32, 256, 1000] {
        add(format!("{connections} connections, bare hyper"), Servers::One(Contender::Bare), connections);
        add(format!("{connections} connections"), Servers::One(Contender::Wasmserve), connections);
    }
    for count in [1, 10, 50, 200] {
        add(format!("{count} components"), Servers::Mounted(count), plan.connections);
    }
    for (name, size) in [("10 kB", 10_000), ("100 kB", 100_000), ("1 MB", 1_000_000), ("10 MB", 10_000_000)] {
        add(format!("a component of {name}"), Servers::Sized(size), plan.connections);
    }
    for cores in [1, 2].into_iter().filter(|cores| *cores <= cores_of_this_machine()) {
        add(format!("cores: {cores}"), Servers::Cores(cores), plan.connections);
    }
    entries
}

fn measure(plan: &Plan, grid: &Grid, (servers, connections): &Subject) -> Result<Turn> {
    let hello = Exercise::hello();
    let mut exercises = vec![hello.clone()];
    let server = match *servers {
        Servers::One(contender) => grid.start(contender, hello.guest)?,
        Servers::Mounted(count) => {
            let file = grid.guest(hello.guest)?;
            exercises = (0..count).map(|number| hello.at(&format!("/{number}"))).collect();
            let mounts = (0..count).flat_map(|number| ["--mount".into(), format!("/{number}={}", file.display())]);
            grid.wasmserve(&mounts.collect::<Vec<_>>(), &place::shared_cache())?
        }
        Servers::Sized(size) => {
            let file = grid.sized(size)?.display().to_string();
            grid.wasmserve(&[file], &place::shared_cache())?
        }
        Servers::Cores(cores) => {
            // Child processes inherit the affinity of the thread that starts them. The load generator gets the
            // remaining cores, if any.
            let all = sched_getaffinity(None)?;
            sched_setaffinity(None, &part(&all, 0..cores))?;
            let server = grid.start(Contender::Wasmserve, hello.guest);
            let left = part(&all, cores..CpuSet::MAX_CPU);
            sched_setaffinity(None, if left.count() > 0 { &left } else { &all })?;
            let turn = server.and_then(|server| take(&server, &exercises, *connections, plan.turn()));
            sched_setaffinity(None, &all)?;
            return turn;
        }
    };
    take(&server, &exercises, *connections, plan.turn())
}

/// Selects processors of a set by their positions in it.
fn part(all: &CpuSet, places: std::ops::Range<usize>) -> CpuSet {
    let mut part = CpuSet::new();
    let processors = (0..CpuSet::MAX_CPU).filter(|processor| all.is_set(*processor));
    processors.skip(places.start).take(places.len()).for_each(|processor| part.set(processor));
    part
}

fn cores_of_this_machine() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn table(entries: &[Entry<Subject>]) -> Table {
    let mut table = Table::new("Scale", &Turn::columns(["hello with", "CPU µs/req"]));
    for entry in entries {
        let cells = vec![entry.name.clone(), entry.cost().to_string()];
        table.row([cells, Turn::cells(&entry.turns)].concat());
        entry.note_failure(&mut table);
    }
    if cores_of_this_machine() <= 2 {
        table.note(
            "This machine has no third core: on two cores the server shares them with the load generator, which has one \
             for itself otherwise. What the server could do alone is 1,000,000 / (CPU µs/req) for each core.",
        );
    }
    table
}
