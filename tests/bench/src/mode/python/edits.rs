//! From a save to the first response of the new version.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use wasmserve_tests::table::Table;

use crate::{
    args::Plan,
    contender::wsgi::{App, Server, Stage},
    spread::Spread,
};

/// How long to wait between two looks at the application.
const PACE: Duration = Duration::from_millis(5);

/// When to give up.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Measures, and prints a table.
///
/// # Errors
///
/// A server does not start, or does not serve a new version.
pub(super) fn run(plan: &Plan, stage: &Stage<'_>) -> Result<()> {
    let mut table = Table::new("Edits of Python applications", &["application, server", "save to response, s"]);
    let edits = if plan.short { 2 } else { 10 };
    for (name, server, app) in super::all(plan, stage, &[Server::Wasmserve, Server::ReloadingGunicorn]) {
        let process = stage.start_warm(server, app)?;
        let times = (0..edits).map(|number| edit(stage, app, process.addr(), number)).collect::<Result<Vec<_>>>();
        fs::write(stage.file(app), app.source())?;
        let times = match times {
            Err(error) if server != Server::Wasmserve => {
                table.note(format!("{name}: {error:#}"));
                Vec::new()
            }
            times => times?,
        };
        let cells = vec![name, Spread::of(times).to_string()];
        super::super::progress(&cells.join(": "));
        table.row(cells);
    }
    table.note(format!("{edits} edits, one after the other: median (min–max)."));
    super::super::print(&table);
    Ok(())
}

/// Saves a new greeting, and waits for it. Returns the seconds until then.
fn edit(stage: &Stage<'_>, app: App, addr: SocketAddr, number: usize) -> Result<f64> {
    let greeting = format!("Hello, {number}!");
    let source = app.source().replace("Hello, World!", &greeting);
    let began = Instant::now();
    fs::write(stage.file(app), source)?;
    // A server that starts its processes anew may refuse a request meanwhile.
    while !get(addr).is_ok_and(|answer| answer.contains(&greeting)) {
        ensure!(began.elapsed() < TIMEOUT, "{} serves no new version", app.name());
        thread::sleep(PACE);
    }
    Ok(began.elapsed().as_secs_f64())
}

fn get(addr: SocketAddr) -> Result<String> {
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(TIMEOUT))?;
    client.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(answer)
}
