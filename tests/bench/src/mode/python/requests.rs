//! The cost of a request.

use anyhow::Result;
use wasmserve_tests::table::Table;

use crate::{
    args::Plan,
    contender::wsgi::{App, Server, Stage},
    exercise::Exercise,
    mode::{
        rotation::{self, Entry},
        turn::{Turn, take},
    },
};

/// The servers to compare.
const SERVERS: [Server; 3] = [Server::Wasmserve, Server::Gunicorn, Server::Fork];

/// How many connections send requests at the same time.
const CONNECTIONS: [usize; 3] = [1, 8, 32];

/// An application, its server, and how many connections send requests.
type Subject = (App, Server, usize);

/// Measures, and prints a table.
///
/// # Errors
///
/// A server does not start, or a response is wrong.
pub(super) fn run(plan: &Plan, stage: &Stage<'_>) -> Result<()> {
    let mut entries = Vec::new();
    for (name, server, app) in super::all(plan, stage, &SERVERS) {
        let entry = |connections| Entry::new(format!("{name}, {connections}"), (app, server, connections));
        entries.extend(CONNECTIONS.map(entry));
    }
    rotation::run(plan, &mut entries, |(app, server, connections)| {
        take(&stage.start_warm(*server, *app)?, &[Exercise::hello()], *connections, plan.turn())
    })?;
    rotation::report(&entries, [table(plan, &entries)])
}

fn table(plan: &Plan, entries: &[Entry<Subject>]) -> Table {
    let columns = Turn::columns(["application, server, connections", "CPU µs/req", "× gunicorn"]);
    let mut table = Table::new("Requests to Python applications", &columns);
    for entry in entries {
        let (app, _, connections) = entry.subject;
        let gunicorn = entries.iter().find(|other| other.subject == (app, Server::Gunicorn, connections));
        let cells = vec![entry.name.clone(), entry.cost().to_string(), entry.ratio(gunicorn).to_string()];
        table.row([cells, Turn::cells(&entry.turns)].concat());
        entry.note_failure(&mut table);
    }
    table.note(format!(
        "{} rounds of {} s: median (min–max). CPU is the server's, all of its processes; × gunicorn is its ratio to gunicorn \
         in the same round. Gunicorn has one process for each core, and keeps the application's state.",
        plan.rounds(),
        plan.turn().as_secs_f64(),
    ));
    table
}
