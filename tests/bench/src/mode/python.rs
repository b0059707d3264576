//! Python applications, with and without a framework, beside other servers that run the same code.

mod edits;

mod memory;

mod requests;

mod starts;

use anyhow::Result;
use clap::ValueEnum as _;

use crate::{
    args::{Part, Plan},
    contender::{
        Grid,
        wsgi::{App, Server, Stage},
    },
};

/// Measures these parts, or all if there are none, and prints a table for each.
///
/// # Errors
///
/// A server does not start, or a response is wrong.
pub(super) fn run(plan: &Plan, parts: &[Part]) -> Result<()> {
    let grid = Grid::new(plan.wasmserve.clone());
    let stage = Stage::new(&grid, plan.venv())?;
    let wanted = Part::value_variants().iter().filter(|part| parts.is_empty() || parts.contains(part));
    wanted.copied().try_for_each(|part| match part {
        Part::Requests => requests::run(plan, &stage),
        Part::Memory => memory::run(plan, &stage),
        Part::Starts => starts::run(plan, &stage),
        Part::Edits => edits::run(plan, &stage),
    })
}

/// Each application with each of these servers, as far as they are there and the user wants them, and their names.
fn all(plan: &Plan, stage: &Stage<'_>, servers: &[Server]) -> Vec<(String, Server, App)> {
    let pairs = App::ALL.into_iter().flat_map(|app| servers.iter().map(move |server| (*server, app)));
    let there = pairs.filter(|(server, app)| stage.is_there(*server, *app));
    let named = there.map(|(server, app)| (format!("{}, {}", app.name(), server.name()), server, app));
    named.filter(|(name, ..)| plan.wants(name)).collect()
}
