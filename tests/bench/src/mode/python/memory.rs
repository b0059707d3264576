//! The memory of requests that wait for their bodies.

use anyhow::{Result, ensure};
use wasmserve_tests::{place, table::Table};

use crate::{
    args::Plan,
    contender::wsgi::{App, Server, Stage},
    mode::waiting::{self, Seen},
    process::free_addr,
    spread::Spread,
};

/// How many wait at the same time.
const WAITING: [usize; 3] = [1, 10, 100];

/// Measures, and prints a table.
///
/// # Errors
///
/// A server does not start, or does not answer.
pub(super) fn run(plan: &Plan, stage: &Stage<'_>) -> Result<()> {
    let mut table = Table::new(
        "Python applications that wait",
        &["application, server", "1: MiB each", "10: MiB each", "100: MiB each"],
    );
    let mut failure = None;
    for (name, server, app) in super::all(plan, stage, &[Server::Wasmserve, Server::Fork]) {
        let mut cells = vec![name];
        for wanted in WAITING {
            let rounds: Vec<Seen> =
                (0..plan.rounds()).map(|_| hold(stage, server, app, wanted)).collect::<Result<_>>()?;
            cells.push(Spread::of(rounds.iter().map(|seen| seen.proportional / 1024.0)).to_string());
            failure = failure.or(rounds.into_iter().find(|seen| seen.answered != wanted).map(|seen| seen.failure));
        }
        super::super::progress(&cells.join(": "));
        table.row(cells);
    }
    table.note(
        "Pages that instances or processes have in common count once (PSS). What an idle server needs is not included.",
    );
    super::super::print(&table);
    ensure!(failure.is_none(), "not all requests were answered: {}", failure.flatten().unwrap_or_default());
    Ok(())
}

fn hold(stage: &Stage<'_>, server: Server, app: App, wanted: usize) -> Result<Seen> {
    let stats = free_addr()?;
    let words = match server {
        // An instance counts with the memory that it has, used or not.
        Server::Wasmserve => waiting::flags(wanted, 128 * wanted, stats),
        _ => Vec::new(),
    };
    let process = stage.start(server, app, &words, &place::shared_cache())?;
    waiting::hold(&process, wanted, || match server {
        Server::Wasmserve => waiting::live(stats),
        _ => Ok(process.family().count() - 1),
    })
}
