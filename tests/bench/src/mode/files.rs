//! The cost of a file.
//!
//! The server and others serve the same directory, in turn, each time in a new process.

use std::{fs::File, time::Duration};

use anyhow::{Result, ensure};
use wasmserve_tests::table::Table;

use super::turn::{Turn, take};
use crate::{
    args::Plan,
    contender::{Contender, Grid},
    exercise::Exercise,
    spread::{Rounded, Spread},
};

/// The sizes of the files, each with its name and with how many connections request it at the same time.
const SIZES: [(&str, u64, usize); 3] = [("1 KiB", 1 << 10, 32), ("1 MiB", 1 << 20, 8), ("1 GiB", 1 << 30, 2)];

/// How long a turn takes at least for a file that takes a second or more itself.
const LONG_TURN: Duration = Duration::from_secs(10);

/// A server, a size, and the results.
struct Entry {
    contender: Contender,
    size: (&'static str, u64, usize),
    turns: Vec<Turn>,
}

/// Measures, and prints a table.
///
/// # Errors
///
/// A server does not start, or a response is wrong.
pub(super) fn run(plan: &Plan) -> Result<()> {
    let grid = Grid::new(plan.wasmserve.clone());
    for (name, size, _) in SIZES {
        // Sparse, so that it takes no room: what is measured is the way from the system's cache to the client.
        File::create(grid.site()?.join(file_name(name)))?.set_len(size)?;
    }
    let mut entries = Vec::new();
    for size in SIZES.into_iter().filter(|(name, ..)| plan.wants(name)) {
        let contenders = Contender::FILES.into_iter().filter(|contender| contender.is_there());
        entries.extend(contenders.map(|contender| Entry { contender, size, turns: Vec::new() }));
    }
    let count = entries.len();
    for round in 0..plan.rounds() {
        for at in 0..count {
            let entry = &mut entries[(at + round) % count];
            let turn = measure(plan, &grid, entry)?;
            super::progress(&format!(
                "round {} of {}: {}, {}: {} µs, {} req/s",
                round + 1,
                plan.rounds(),
                entry.contender.name(),
                entry.size.0,
                Rounded(turn.cost()),
                Rounded(turn.outcome.rate()),
            ));
            entry.turns.push(turn);
        }
    }
    super::print(&table(&entries));
    let failed: u64 = entries.iter().flat_map(|entry| &entry.turns).map(|turn| turn.outcome.failed).sum();
    ensure!(failed == 0, "{failed} requests failed; see the table");
    Ok(())
}

fn measure(plan: &Plan, grid: &Grid, entry: &Entry) -> Result<Turn> {
    let (name, size, connections) = entry.size;
    let exercise = Exercise::file(&file_name(name), usize::try_from(size)?);
    let is_long = size >= 1 << 30 && !plan.short;
    let turn = if is_long { plan.turn().max(LONG_TURN) } else { plan.turn() };
    take(&grid.start_files(entry.contender)?, &[exercise], connections, turn)
}

fn file_name(size: &str) -> String {
    format!("{}.bin", size.replace(' ', ""))
}

fn table(entries: &[Entry]) -> Table {
    let columns = [
        "file, server",
        "CPU µs/req",
        "× nginx",
        "user",
        "system",
        "req/s",
        "p50 ms",
        "p99 ms",
        "RSS MiB idle → load",
        "failed",
    ];
    let mut table = Table::new("Files", &columns);
    for entry in entries {
        let nginx = entries.iter().find(|other| other.contender == Contender::Nginx && other.size == entry.size);
        let costs = |entry: &Entry| entry.turns.iter().map(Turn::cost).collect::<Vec<_>>();
        let (cost, nginx) = (costs(entry), nginx.map(costs).unwrap_or_default());
        let ratio = Spread::of(cost.iter().zip(nginx).map(|(cost, nginx)| cost / nginx));
        let name = format!("{}, {}", entry.size.0, entry.contender.name());
        table.row([vec![name, Spread::of(cost).to_string(), ratio.to_string()], Turn::cells(&entry.turns)].concat());
        let failure = entry.turns.iter().find_map(|turn| turn.outcome.failure.as_ref());
        failure.into_iter().for_each(|failure| table.note(format!("{}: {failure}", entry.contender.name())));
    }
    table
}
