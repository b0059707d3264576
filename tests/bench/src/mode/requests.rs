//! The cost of a request.
//!
//! All servers take turns, each time in a new process, so that no other server runs while one is measured.

use std::slice;

use anyhow::{Result, ensure};
use wasmserve_tests::table::Table;

use super::turn::{Turn, take};
use crate::{
    args::Plan,
    contender::{Contender, Grid},
    exercise::Exercise,
    spread::{Rounded, Spread},
};

/// A server, an exercise, and its results.
struct Entry {
    contender: Contender,
    exercise: Exercise,
    turns: Vec<Turn>,
}

/// Measures, and prints two tables: the servers, and the guests.
///
/// # Errors
///
/// A server does not start, or a response is wrong.
pub(super) fn run(plan: &Plan) -> Result<()> {
    let grid = Grid::new(plan.wasmserve.clone());
    let mut entries = entries(plan);
    for round in 0..plan.rounds() {
        // The order rotates, so that no server always follows the same other one.
        let count = entries.len();
        for at in 0..count {
            let entry = &mut entries[(at + round) % count];
            let turn = measure(plan, &grid, entry)?;
            super::progress(&format!(
                "round {} of {}: {}, {}: {} µs, {} req/s",
                round + 1,
                plan.rounds(),
                entry.contender.name(),
                entry.exercise.name,
                Rounded(turn.cost()),
                Rounded(turn.outcome.rate()),
            ));
            entry.turns.push(turn);
        }
    }
    for table in tables(plan, &entries) {
        super::print(&table);
    }
    let failed: u64 = entries.iter().flat_map(|entry| &entry.turns).map(|turn| turn.outcome.failed).sum();
    ensure!(failed == 0, "{failed} requests failed; see the tables");
    Ok(())
}

fn entries(plan: &Plan) -> Vec<Entry> {
    let hello = Exercise::hello();
    let others = Contender::ALL
        .into_iter()
        .filter(|contender| *contender == Contender::Bare || contender.is_there() && plan.wants(contender.name()));
    let entry = |contender, exercise| Entry { contender, exercise, turns: Vec::new() };
    let mut entries: Vec<Entry> = others.map(|contender| entry(contender, hello.clone())).collect();
    for exercise in Exercise::all().into_iter().skip(1).filter(|exercise| plan.wants(exercise.name)) {
        entries.push(entry(Contender::Bare, exercise.for_bare()));
        entries.push(entry(Contender::Wasmserve, exercise));
    }
    entries
}

fn measure(plan: &Plan, grid: &Grid, entry: &Entry) -> Result<Turn> {
    let server = grid.start(entry.contender, entry.exercise.guest)?;
    let connections = entry.exercise.at_once.map_or(plan.connections, |most| most.min(plan.connections));
    take(&server, slice::from_ref(&entry.exercise), connections, plan.turn())
}

fn tables(plan: &Plan, entries: &[Entry]) -> Vec<Table> {
    let columns = |first| {
        [first, "CPU µs/req", "× bare", "user", "system", "req/s", "p50 ms", "p99 ms", "RSS MiB idle → load", "failed"]
    };
    let about = format!(
        "{} rounds of {} s, {} connections: median (min–max). CPU is the server's, all of its processes and threads; × bare \
         is its ratio to bare hyper in the same round.",
        plan.rounds(),
        plan.turn().as_secs_f64(),
        plan.connections
    );
    let mut servers = Table::new("Servers that answer hello", &columns("server"));
    let mut guests =
        Table::new("Guests of wasmserve, compared with a bare hyper that greets or echoes", &columns("guest"));
    for entry in entries {
        let bare = entries
            .iter()
            .find(|other| other.contender == Contender::Bare && other.exercise.name == entry.exercise.name);
        if entry.exercise.name == "hello" {
            servers.row(row(entry.contender.name().to_owned(), entry, bare));
        }
        if entry.contender == Contender::Wasmserve {
            guests.row(row(entry.exercise.name.to_owned(), entry, bare));
        }
        let failure = entry.turns.iter().find_map(|turn| turn.outcome.failure.as_ref());
        if let Some(failure) = failure {
            servers.note(format!("{}, {}: {failure}", entry.contender.name(), entry.exercise.name));
        }
    }
    servers.note(about);
    guests.note("Bare hyper answers every GET with hello, and echoes every POST.");
    vec![servers, guests]
}

fn row(name: String, entry: &Entry, bare: Option<&Entry>) -> Vec<String> {
    let costs = |entry: &Entry| entry.turns.iter().map(Turn::cost).collect::<Vec<_>>();
    let (cost, bare) = (costs(entry), bare.map(costs).unwrap_or_default());
    let ratio = Spread::of(cost.iter().zip(bare).map(|(cost, bare)| cost / bare));
    [vec![name, Spread::of(cost).to_string(), ratio.to_string()], Turn::cells(&entry.turns)].concat()
}
