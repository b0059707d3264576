//! The cost of a request.
//!
//! All servers take turns, each time in a new process, so that no other server runs while one is measured.

use std::slice;

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

/// A server and an exercise.
type Subject = (Contender, Exercise);

/// Measures, and prints two tables: the servers, and the guests.
///
/// # Errors
///
/// A server does not start, or a response is wrong.
pub(super) fn run(plan: &Plan) -> Result<()> {
    let grid = Grid::new(plan.wasmserve.clone());
    let mut entries = entries(plan);
    rotation::run(plan, &mut entries, |subject| measure(plan, &grid, subject))?;
    rotation::report(&entries, tables(plan, &entries))
}

fn entries(plan: &Plan) -> Vec<Entry<Subject>> {
    let hello = Exercise::hello();
    let others = Contender::ALL
        .into_iter()
        .filter(|contender| *contender == Contender::Bare || contender.is_there() && plan.wants(contender.name()));
    let entry = |contender: Contender, exercise: Exercise| {
        Entry::new(format!("{}, {}", contender.name(), exercise.name), (contender, exercise))
    };
    let mut entries: Vec<_> = others.map(|contender| entry(contender, hello.clone())).collect();
    for exercise in Exercise::all().into_iter().skip(1).filter(|exercise| plan.wants(exercise.name)) {
        entries.push(entry(Contender::Bare, exercise.for_bare()));
        entries.push(entry(Contender::Wasmserve, exercise));
    }
    entries
}

fn measure(plan: &Plan, grid: &Grid, (contender, exercise): &Subject) -> Result<Turn> {
    let server = grid.start(*contender, exercise.guest)?;
    let connections = exercise.at_once.map_or(plan.connections, |most| most.min(plan.connections));
    take(&server, slice::from_ref(exercise), connections, plan.turn())
}

fn tables(plan: &Plan, entries: &[Entry<Subject>]) -> [Table; 2] {
    let columns = |first| Turn::columns([first, "CPU µs/req", "× bare"]);
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
        let (contender, exercise) = &entry.subject;
        let is_bare = |(contender, other): &Subject| *contender == Contender::Bare && other.name == exercise.name;
        let bare = entries.iter().find(|other| is_bare(&other.subject));
        let row = |name: &str| {
            let cells = vec![name.to_owned(), entry.cost().to_string(), entry.ratio(bare).to_string()];
            [cells, Turn::cells(&entry.turns)].concat()
        };
        if exercise.name == "hello" {
            servers.row(row(contender.name()));
        }
        if *contender == Contender::Wasmserve {
            guests.row(row(exercise.name));
        }
        entry.note_failure(&mut servers);
    }
    servers.note(about);
    guests.note("Bare hyper answers every GET with hello, and echoes every POST.");
    [servers, guests]
}
