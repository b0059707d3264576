//! What a component is, told to its user: `wasmserve inspect`.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::Context as _;
use wasmserve_gateway::escape::escape;

use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        limits::EngineLimits,
    },
    event::Events,
    kind::wasm::{
        engine::Engine,
        gateway::HANDLER,
        inspect::{ComponentInfo, Inspected, inspect},
    },
    listen::access_log::{AccessLog, format::Format},
    program::task::Inspect,
};

/// Tells what a component is on stdout. [`Exit::Handler`] if it cannot be served.
///
/// # Errors
///
/// It is no component, or cannot be read.
pub(crate) fn run(task: &Inspect) -> Result<Exit, StartError> {
    let log = Arc::new(AccessLog::spawn(Format::None).context("no thread for the log").or_exit(Exit::Failed)?);
    let events = Arc::new(Events::new(vec![Arc::clone(&log) as _]));
    let engine = Engine::with_compiler(&EngineLimits::DEFAULT, task.compile.clone(), events);
    let (engine, _) = engine.or_exit(Exit::Failed)?;
    let inspected = inspect(&engine, &task.file, task.component);
    log.flush();
    let inspected = inspected.or_exit(Exit::Handler)?;
    // If nobody reads it, the exit code still tells.
    _ = io::stdout().write_all(report(&inspected).as_bytes());
    Ok(if inspected.verdict.is_ok() { Exit::Done } else { Exit::Handler })
}

/// All that is to be told, one line a fact.
fn report(inspected: &Inspected) -> String {
    let Inspected { size: octets, info, missing, verdict } = inspected;
    let mut text = String::new();
    let mut lines = |title: &str, lines: Vec<String>| {
        for (at, line) in lines.iter().enumerate() {
            _ = writeln!(text, "{:<9} {line}", if at == 0 { title } else { "" });
        }
    };
    lines("served", vec![verdict.as_ref().map_or_else(|why| format!("no: {}", printable(why)), |()| "yes".to_owned())]);
    lines("world", vec![world(info)]);
    lines("size", vec![format!("{} in {}", size(*octets as u64), parts(info))]);
    lines("exports", info.exports.iter().map(|export| printable(export)).collect());
    let width = info.imports.iter().map(|import| printable(import).chars().count()).max().unwrap_or(0).min(60);
    let import = |import: &String| {
        let what = if missing.contains(import) { "refused: the host has no such import" } else { purpose(import) };
        format!("{:width$}  {what}", printable(import))
    };
    lines("imports", info.imports.iter().map(import).collect());
    lines("may touch", vec![reach(info, missing)]);
    let memories = info.modules.iter().flat_map(|module| &module.memories);
    lines("memory", memories.map(|memory| self::memory(*memory)).collect());
    lines("stacks", vec![stacks(info).to_owned()]);
    let producers = |(field, values): (&String, &Vec<String>)| format!("{field}: {}", printable(&values.join(", ")));
    lines("made with", info.producers.iter().map(producers).collect());
    text
}

fn world(info: &ComponentInfo) -> String {
    let ours = info.exports.iter().find(|export| export.starts_with("wasmserve:gateway/handler"));
    match ours {
        Some(export) if export == HANDLER => format!("a handler: exports `{HANDLER}`"),
        Some(export) => format!("a handler of another version: exports `{}`, not `{HANDLER}`", printable(export)),
        None if info.exports.iter().any(|export| export.starts_with("wasi:http/")) => {
            "a wasi:http component, which `wasmtime serve` can serve".to_owned()
        }
        None if info.exports.iter().any(|export| export.starts_with("wasi:cli/run")) => {
            "a command, which `wasmtime run` can run; a handler exports another function (see `wasmserve new`)"
                .to_owned()
        }
        None => format!("another one: does not export `{HANDLER}`"),
    }
}

fn parts(info: &ComponentInfo) -> String {
    let functions: u64 = info.modules.iter().map(|module| u64::from(module.functions)).sum();
    let code: usize = info.modules.iter().map(|module| module.size).sum();
    let modules = counted(info.modules.len() as u64, "core module");
    let mut text = format!("{modules} of {} with {}", size(code as u64), counted(functions, "function"));
    if info.components > 0 {
        _ = write!(text, ", and {} inside", counted(info.components as u64, "component"));
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
fn reach(info: &ComponentInfo, missing: &[String]) -> String {
    let mut always: Vec<&str> = Vec::new();
    let mut granted: Vec<&str> = Vec::new();
    for import in info.imports.iter().filter(|import| !missing.contains(import)) {
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

fn stacks(info: &ComponentInfo) -> &'static str {
    let has = |what: fn(&crate::kind::wasm::inspect::Module) -> bool| info.modules.iter().any(what);
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
