//! From exec to the first response, with an empty and with a full compile cache; and memory, idle and after a load.

use anyhow::Result;
use wasmserve_tests::{
    place::{self, Place},
    table::Table,
};

use super::turn::{mib, take};
use crate::{
    args::Plan,
    contender::{Contender, Grid},
    exercise::{Exercise, LARGE},
    process::Process,
    spread::Spread,
};

/// A server to start.
struct Entry {
    name: String,
    contender: Contender,
    guest: &'static str,
    is_cold: bool,
    figures: Vec<[f64; 3]>,
}

/// Measures, and prints a table.
///
/// # Errors
///
/// A server does not start.
pub(super) fn run(plan: &Plan) -> Result<()> {
    let grid = Grid::new(plan.wasmserve.clone());
    let mut entries = entries(plan);
    // Starts are short, so there are more rounds.
    for _ in 0..2 * plan.rounds() {
        for entry in &mut entries {
            let figures = measure(plan, &grid, entry)?;
            super::progress(&format!("{}: {:.1} ms", entry.name, figures[0]));
            entry.figures.push(figures);
        }
    }
    let columns = ["server", "exec to first response, ms", "RSS idle, MiB", "RSS after a load, MiB"];
    let mut table = Table::new("Start", &columns);
    for entry in &entries {
        let cells = (0..3).map(|which| Spread::of(entry.figures.iter().map(|figures| figures[which])).to_string());
        table.row([entry.name.clone()].into_iter().chain(cells).collect());
    }
    table.note("Cold means an empty compile cache. Files are in the system's page cache in both cases.");
    super::print(&table);
    Ok(())
}

fn entries(plan: &Plan) -> Vec<Entry> {
    let hello = Exercise::hello().guest;
    let mut entries = Vec::new();
    let mut add = |name: String, contender: Contender, guest, is_cold| {
        if plan.wants(&name) && contender.is_there() {
            entries.push(Entry { name, contender, guest, is_cold, figures: Vec::new() });
        }
    };
    for contender in Contender::ALL.into_iter().filter(|contender| *contender != Contender::BarePerCore) {
        let is_ours = contender == Contender::Wasmserve;
        add(format!("{}{}", contender.name(), if is_ours { ", warm" } else { "" }), contender, hello, false);
        if is_ours {
            add("wasmserve, cold".into(), contender, hello, true);
            add("wasmserve, 10 MB component, warm".into(), contender, LARGE, false);
        }
    }
    entries
}

/// Milliseconds from exec to the first response; MiB idle; MiB after a load.
fn measure(plan: &Plan, grid: &Grid, entry: &Entry) -> Result<[f64; 3]> {
    let cold = Place::new();
    let server: Process = match entry.contender {
        Contender::Wasmserve => {
            let cache = if entry.is_cold { cold.to_path_buf() } else { place::shared_cache() };
            grid.wasmserve(&[grid.guest(entry.guest)?.display().to_string()], &cache)?
        }
        other => grid.start(other, entry.guest)?,
    };
    let idle = mib(server.family().resident());
    let turn = take(&server, &[Exercise::hello()], plan.connections, plan.turn() / 3)?;
    Ok([server.ready().as_secs_f64() * 1e3, idle, turn.loaded])
}
