//! `wasmserve inspect`: prints what a component contains, or where a Python app is from, and whether it can be served.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use wasmserve_gateway::escape::escape;

use super::engine::engine;
use crate::{
    base::{
        exit::{Exit, OrExit as _, StartError},
        grants::Grants,
        limits::Limits,
    },
    kind::wasm::{
        check::MissingImport,
        inspect::{ComponentInfo, Inspected, inspect},
        interface::Interface,
        layer::FILTER,
        python::{self, App},
    },
    program::task::Inspect,
    source::{
        build::Failure,
        locate::{Kind, Named, Source},
        python::Finder,
    },
};

/// Prints a report about a component on stdout. Returns [`Exit::Handler`] if it cannot be served.
///
/// # Errors
///
/// The file cannot be read, or is not a component.
pub(crate) fn run(task: &Inspect) -> Result<Exit, StartError> {
    let source = Source::new(Named::from(task.file.clone().into_os_string()));
    if source.is_python() {
        return run_python(&source, task);
    }
    let named = Named::Path { kind: Some(Kind::Component), interface: None, path: task.file.clone() };
    Source::new(named).check().or_exit(Exit::Handler)?;
    let (engine, log) = engine(&task.compile)?;
    let inspected = inspect(&engine, &task.file, task.component);
    log.flush();
    let inspected = inspected.or_exit(Exit::Handler)?;
    // If stdout is closed, the exit code still shows the verdict.
    _ = io::stdout().write_all(report(&inspected).as_bytes());
    Ok(if inspected.verdict.is_ok() { Exit::Done } else { Exit::Handler })
}

/// Prints a report about a Python app on stdout, after it was imported as if it was to be served. Returns
/// [`Exit::Handler`] if it cannot be imported.
fn run_python(source: &Source, task: &Inspect) -> Result<Exit, StartError> {
    source.check().or_exit(Exit::Handler)?;
    let messages = &task.messages;
    let found = source.app(&Finder::default(), messages).map_err(|Failure { line, .. }| line).or_exit(Exit::Handler)?;
    let (engine, log) = engine(&task.compile)?;
    let handler = python::handler(
        &engine,
        &python::Interpreter::default(),
        source.path(),
        &found.app,
        None,
        &Limits::DEFAULT,
        &Grants::default(),
    );
    let verdict = handler.map(|_| ()).map_err(|failure| found.failure(failure, messages).line);
    log.flush();
    let served =
        verdict.as_ref().map_or_else(|why| format!("no: {}", printable(&format!("{why:#}"))), |()| "yes".to_owned());
    let App { module, attribute, directory, paths } = &found.app;
    let attribute = attribute.as_deref().unwrap_or("not named; found by its usual names");
    let mut lines = vec![
        ("served", served),
        ("kind", "a WSGI app, run by CPython 3.14".to_owned()),
        ("module", format!("{} in {}", printable(module), printable(&directory.to_string_lossy()))),
        ("app", printable(attribute)),
        ("packages", printable(&found.origin)),
    ];
    lines.extend(paths.iter().map(|path| ("", printable(&path.to_string_lossy()))));
    let text: String = lines.iter().map(|(title, line)| format!("{title:<9} {line}\n")).collect();
    // If stdout is closed, the exit code still shows the verdict.
    _ = io::stdout().write_all(text.as_bytes());
    Ok(if verdict.is_ok() { Exit::Done } else { Exit::Handler })
}

/// The report, with one fact per line.
fn report(inspected: &Inspected) -> String {
    let Inspected { size: bytes, is_wrapped, info, missing, interface, is_filter, verdict } = inspected;
    let served = if *is_filter { "in front of a handler: wasmserve HANDLER --wrap FILTER" } else { "yes" };
    let mut text = String::new();
    let mut lines = |title: &str, lines: Vec<String>| {
        for (at, line) in lines.iter().enumerate() {
            _ = writeln!(text, "{:<9} {line}", if at == 0 { title } else { "" });
        }
    };
    lines(
        "served",
        vec![verdict.as_ref().map_or_else(|why| format!("no: {}", printable(why)), |()| served.to_owned())],
    );
    lines("world", vec![world(info, *interface, *is_wrapped)]);
    let lost = interface.map(Interface::cannot_keep).unwrap_or_default();
    lines("not kept", lost.iter().map(|what| (*what).to_owned()).collect());
    lines("size", vec![format!("{} in {}", size(*bytes as u64), parts(info))]);
    lines("exports", info.exports.iter().map(|export| printable(export)).collect());
    let width = info.imports.iter().map(|import| printable(import).chars().count()).max().unwrap_or(0).min(60);
    let import = |import: &String| {
        let what = match missing.iter().find(|missing| missing.name == *import) {
            None => purpose(import, info).0.to_owned(),
            Some(missing) if missing.items.is_empty() => "missing: the host has no such import".to_owned(),
            Some(missing) => format!("missing in it: {}", printable(&missing.items.join(", "))),
        };
        format!("{:width$}  {what}", printable(import))
    };
    lines("imports", info.imports.iter().map(import).collect());
    lines("access", vec![reach(info, missing)]);
    let memories = info.modules.iter().flat_map(|module| &module.memories);
    lines("memory", memories.map(|memory| self::memory(*memory)).collect());
    lines("stacks", vec![stacks(info).to_owned()]);
    let producers = |(field, values): (&String, &Vec<String>)| format!("{field}: {}", printable(&values.join(", ")));
    lines("made with", info.producers.iter().map(producers).collect());
    text
}

fn world(info: &ComponentInfo, interface: Option<Interface>, is_wrapped: bool) -> String {
    match interface {
        Some(Interface::Command) if is_wrapped => return "a CGI program of WASI 0.1".to_owned(),
        Some(interface) => return interface.title(),
        None => {}
    }
    if info.exports.iter().any(|export| export == FILTER) {
        return format!("a filter: exports `{FILTER}`");
    }
    let is_close = |export: &&String| {
        ["wasmserve:gateway/handler", "wasi:http/", "wasi:cli/run"].iter().any(|name| export.starts_with(name))
    };
    match info.exports.iter().find(is_close) {
        Some(export) => format!("a handler for another version: exports `{}`", printable(export)),
        None => "unknown: exports no interface of a handler".to_owned(),
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

/// How much an interface gives access to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Something, for every handler.
    Always,
    /// Something, if a flag grants it.
    Granted,
    /// Nothing by itself.
    Nothing,
}

/// What an interface is for, with the flag that grants access to it, and what it gives access to.
fn purpose(import: &str, info: &ComponentInfo) -> (&'static str, Access) {
    use Access::{Always, Granted, Nothing};
    if Interface::of(&info.exports) == Some(Interface::Command) {
        match import.split('@').next() {
            Some("wasi:cli/environment") => return ("the request and granted variables (--env)", Always),
            Some("wasi:cli/stdin") => return ("the body of the request", Always),
            Some("wasi:cli/stdout") => return ("the response", Always),
            Some(name) if name.starts_with("wasi:cli/terminal-") => return ("nothing: there is no terminal", Nothing),
            _ => {}
        }
    }
    let purposes = [
        ("wasmserve:gateway/", "the request and its response", Always),
        ("wasi:cli/environment@", "environment variables (--env)", Granted),
        ("wasi:filesystem/", "files (--dir)", Granted),
        ("wasi:sockets/", "the network (--allow-net)", Granted),
        ("wasi:http/", "the network (--allow-net)", Granted),
        ("wasi:cli/exit@", "exiting", Always),
        ("wasi:cli/stdout@", "the log", Always),
        ("wasi:cli/stderr@", "the log", Always),
        ("wasi:cli/", "nothing: stdin is empty, and there is no terminal", Nothing),
        ("wasi:clocks/", "clocks", Always),
        ("wasi:random/", "random numbers", Always),
        ("wasi:io/", "streams", Nothing),
    ];
    let found = purposes.iter().find(|(prefix, ..)| import.starts_with(prefix));
    found.map_or(("granted", Always), |(_, purpose, access)| (purpose, *access))
}

/// What the component has access to, according to its imports.
fn reach(info: &ComponentInfo, missing: &[MissingImport]) -> String {
    let mut always: Vec<&str> = Vec::new();
    let mut granted: Vec<&str> = Vec::new();
    let is_missing = |import: &String| missing.iter().any(|missing| missing.name == *import);
    for import in info.imports.iter().filter(|import| !is_missing(import)) {
        let (purpose, access) = purpose(import, info);
        let list = match access {
            Access::Always => &mut always,
            Access::Granted => &mut granted,
            Access::Nothing => continue,
        };
        if !list.contains(&purpose) {
            list.push(purpose);
        }
    }
    let always = if always.is_empty() { "nothing".to_owned() } else { always.join(", ") };
    if granted.is_empty() { always } else { format!("{always}; if granted: {}", granted.join(", ")) }
}

fn memory((initial, maximum): (u64, Option<u64>)) -> String {
    let maximum = maximum.map_or_else(|| "what --max-memory allows".to_owned(), size);
    format!("{} initially, at most {maximum}", size(initial))
}

fn stacks(info: &ComponentInfo) -> &'static str {
    let has = |what: fn(&crate::kind::wasm::inspect::Module) -> bool| info.modules.iter().any(what);
    match (has(|module| module.has_names), has(|module| module.has_lines)) {
        (true, true) => "show function names, and files and lines with --debug",
        (true, false) => "show function names, but no lines: it was built without debug information",
        (false, _) => "show function numbers only: it was built without names",
    }
}

/// A size in readable units.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => counted(bytes, "byte"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A text from the file, escaped so that it stays on one line and cannot control the terminal.
fn printable(text: &str) -> String {
    escape(text.as_bytes())
}
