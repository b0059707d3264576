//! The cost of a file.
//!
//! The server and others serve the same directory, in turn, each time in a new process.

use std::{fs::File, time::Duration};

use anyhow::Result;
use wasmserve_tests::table::Table;

use super::{
    rotation::{self, Entry},
    turn::{Turn, take},
};
use crate::{
    args::Plan,
    contender::{Contender, Grid},
    exercise::Exercise,
};

/// The sizes of the files, each with its name and with how many connections request it at the same time.
const SIZES: [(&str, u64, usize); 3] = [("1 KiB", 1 << 10, 32), ("1 MiB", 1 << 20, 8), ("1 GiB", 1 << 30, 2)];

/// How long a turn takes at least for a file that takes a second or more itself.
const LONG_TURN: Duration = Duration::from_secs(10);

/// A server and a size.
type Subject = (Contender, (&'static str, u64, usize));

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
        let entry = |contender: Contender| Entry::new(format!("{}, {}", size.0, contender.name()), (contender, size));
        entries.extend(contenders.map(entry));
    }
    rotation::run(plan, &mut entries, |subject| measure(plan, &grid, subject))?;
    rotation::report(&entries, [table(&entries)])
}

fn measure(plan: &Plan, grid: &Grid, &(contender, (name, size, connections)): &Subject) -> Result<Turn> {
    let exercise = Exercise::file(&file_name(name), usize::try_from(size)?);
    let is_long = size >= 1 << 30 && !plan.short;
    let turn = if is_long { plan.turn().max(LONG_TURN) } else { plan.turn() };
    take(&grid.start_files(contender)?, &[exercise], connections, turn)
}

fn file_name(size: &str) -> String {
    format!("{}.bin", size.replace(' ', ""))
}

fn table(entries: &[Entry<Subject>]) -> Table {
    let mut table = Table::new("Files", &Turn::columns(["file, server", "CPU µs/req", "× nginx"]));
    for entry in entries {
        let nginx = entries.iter().find(|other| other.subject == (Contender::Nginx, entry.subject.1));
        let cells = vec![entry.name.clone(), entry.cost().to_string(), entry.ratio(nginx).to_string()];
        table.row([cells, Turn::cells(&entry.turns)].concat());
        entry.note_failure(&mut table);
    }
    table
}
