//! What a component is, told to its user: `wasmserve inspect`.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::Context as _;

use crate::{
    config::{AccessLog, Inspect, Room},
    exit::{Exit, StartError},
    handler::{Anatomy, Engine, HANDLER, Inspected, inspect},
    log::{Log, escape},
    record::Record,
};

/// Tells what a component is on stdout. [`Exit::Handler`] if it cannot be served.
///
/// # Errors
///
/// It is no component, or cannot be read.
pub fn run(task: &Inspect) -> Result<Exit, StartError> {
    let failed = |exit| move |error: anyhow::Error| StartError::new(exit, &error);
    let log = Arc::new(Log::spawn(AccessLog::None).context("no thread for the log").map_err(failed(Exit::Failed))?);
    let (engine, _) = Engine::with_compiler(&Room::DEFAULT, task.compile.clone(), Arc::clone(&log) as Record)
        .map_err(failed(Exit::Failed))?;
    let inspected = inspect(&engine, &task.file, task.component);
    log.flush();
    let inspected = inspected.map_err(failed(Exit::Handler))?;
    // If nobody reads it, the exit code still tells.
    _ = io::stdout().write_all(report(&inspected).as_bytes());
    Ok(if inspected.verdict.is_ok() { Exit::Done } else { Exit::Handler })
}

/// All that is to be told, one line a fact.
fn report(inspected: &Inspected) -> String {
    let Inspected { size: octets, anatomy, missing, verdict } = inspected;
    let mut text = String::new();
    let mut lines = |title: &str, lines: Vec<String>| {
        for (at, line) in lines.iter().enumerate() {
            _ = writeln!(text, "{:<9} {line}", if at == 0 { title } else { "" });
        }
    };
    lines("served", vec![verdict.as_ref().map_or_else(|why| format!("no: {}", printable(why)), |()| "yes".to_owned())]);
    lines("world", vec![world(anatomy)]);
    lines("size", vec![format!("{} in {}", size(*octets as u64), parts(anatomy))]);
    lines("exports", anatomy.exports.iter().map(|export| printable(export)).collect());
    let width = anatomy.imports.iter().map(|import| printable(import).chars().count()).max().unwrap_or(0).min(60);
    let import = |import: &String| {
        let what = if missing.contains(import) { "refused: the host has no such import" } else { purpose(import) };
        format!("{:width$}  {what}", printable(import))
    };
    lines("imports", anatomy.imports.iter().map(import).collect());
    lines("may touch", vec![reach(anatomy, missing)]);
    let memories = anatomy.modules.iter().flat_map(|module| &module.memories);
    lines("memory", memories.map(|memory| self::memory(*memory)).collect());
    lines("stacks", vec![stacks(anatomy).to_owned()]);
    let producers = |(field, values): (&String, &Vec<String>)| format!("{field}: {}", printable(&values.join(", ")));
    lines("made with", anatomy.producers.iter().map(producers).collect());
    text
}

fn world(anatomy: &Anatomy) -> String {
    let ours = anatomy.exports.iter().find(|export| export.starts_with("wasmserve:gateway/handler"));
    match ours {
        Some(export) if export == HANDLER => format!("a handler: exports `{HANDLER}`"),
        Some(export) => format!("a handler of another version: exports `{}`, not `{HANDLER}`", printable(export)),
        None if anatomy.exports.iter().any(|export| export.starts_with("wasi:http/")) => {
            "a wasi:http component, which `wasmtime serve` can serve".to_owned()
        }
        None if anatomy.exports.iter().any(|export| export.starts_with("wasi:cli/run")) => {
            "a command, which `wasmtime run` can run; a handler exports another function (see `wasmserve new`)"
                .to_owned()
        }
        None => format!("another one: does not export `{HANDLER}`"),
    }
}

fn parts(anatomy: &Anatomy) -> String {
    let functions: u64 = anatomy.modules.iter().map(|module| u64::from(module.functions)).sum();
    let code: usize = anatomy.modules.iter().map(|module| module.size).sum();
    let modules = counted(anatomy.modules.len() as u64, "core module");
    let mut text = format!("{modules} of {} with {}", size(code as u64), counted(functions, "function"));
    if anatomy.components > 0 {
        _ = write!(text, ", and {} inside", counted(anatomy.components as u64, "component"));
    }
    text
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What an interface is for, and the flag by which the user decides about it.
fn purpose(import: &str) -> &'static str {
    let purposes = [
        ("wasmserve:gateway/", "the request and its response"),
        ("wasi:cli/environment@", "variables: those of --env"),
        ("wasi:filesystem/", "files: those of --dir"),
        ("wasi:sockets/", "the network: addresses of --allow-net"),
        ("wasi:http/", "the network: addresses of --allow-net"),
        ("wasi:cli/exit@", "its own end"),
        ("wasi:cli/stdout@", "the log"),
        ("wasi:cli/stderr@", "the log"),
        ("wasi:cli/", "nothing: stdin is empty, and no terminal is there"),
        ("wasi:clocks/", "clocks"),
        ("wasi:random/", "random numbers"),
        ("wasi:io/", "streams of what it has"),
    ];
    purposes.iter().find(|(prefix, _)| import.starts_with(prefix)).map_or("granted", |(_, purpose)| purpose)
}

/// What it may touch, as far as its imports reach.
fn reach(anatomy: &Anatomy, missing: &[String]) -> String {
    let mut always: Vec<&str> = Vec::new();
    let mut granted: Vec<&str> = Vec::new();
    for import in anatomy.imports.iter().filter(|import| !missing.contains(import)) {
        let purpose = purpose(import);
        let list = if purpose.contains("--") { &mut granted } else { &mut always };
        let is_thing = !import.starts_with("wasi:io/") && !purpose.starts_with("nothing");
        if is_thing && !list.contains(&purpose) {
            list.push(purpose);
        }
    }
    let always = if always.is_empty() { "nothing".to_owned() } else { always.join(", ") };
    if granted.is_empty() { always } else { format!("{always}; if you grant it, {}", granted.join(", ")) }
}

fn memory((initial, maximum): (u64, Option<u64>)) -> String {
    let maximum = maximum.map_or_else(|| "as much as --max-memory allows".to_owned(), size);
    format!("{} at first, then up to {maximum}", size(initial))
}

fn stacks(anatomy: &Anatomy) -> &'static str {
    let has = |what: fn(&crate::handler::Module) -> bool| anatomy.modules.iter().any(what);
    match (has(|module| module.has_names), has(|module| module.has_lines)) {
        (true, true) => "tell names, and with --debug files and lines",
        (true, false) => "tell names, but no lines: it was built without debug information",
        (false, _) => "tell numbers only: it was built without names",
    }
}

/// Octets as people read them.
fn size(octets: u64) -> String {
    match octets {
        0..1024 => counted(octets, "octet"),
        1024..1_048_576 => format!("{:.1} KiB", octets as f64 / 1024.0),
        _ => format!("{:.1} MiB", octets as f64 / 1_048_576.0),
    }
}

/// A text out of the file, in one line that does nothing to a terminal.
fn printable(text: &str) -> String {
    escape(text.as_bytes())
}
