//! From exec to the first response.

use anyhow::Result;
use wasmserve_tests::{
    place::{self, Place},
    table::Table,
};

use crate::{
    args::Plan,
    contender::wsgi::{App, Server, Stage},
    spread::{Rounded, Spread},
};

/// Measures, and prints a table.
///
/// # Errors
///
/// A server does not start.
pub(super) fn run(plan: &Plan, stage: &Stage<'_>) -> Result<()> {
    let columns = ["application, server", "first start on a machine, s", "later starts, s"];
    let mut table = Table::new("Starts of Python applications", &columns);
    for (name, server, app) in super::all(plan, stage, &[Server::Wasmserve, Server::Gunicorn, Server::Fork]) {
        let ready = |cache: &_| Ok::<_, anyhow::Error>(stage.start(server, app, &[], cache)?.ready().as_secs_f64());
        // Python itself is compiled for the first one. A short run does that once.
        let is_wanted = server == Server::Wasmserve && (app == App::Hello || !plan.short);
        let first = if is_wanted { ready(&Place::new())? } else { f64::NAN };
        let shared = place::shared_cache();
        let later = (0..2 * plan.rounds()).map(|_| ready(&shared)).collect::<Result<Vec<_>>>()?;
        let cells = vec![name, Rounded(first).to_string(), Spread::of(later).to_string()];
        super::super::progress(&cells.join(": "));
        table.row(cells);
    }
    table.note("Files are in the system's page cache. The other servers have nothing to prepare.");
    super::super::print(&table);
    Ok(())
}
