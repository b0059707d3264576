//! The world that Python implements, and what its runtime has to know of it.

use std::fmt::Write as _;

use anyhow::Context as _;
use wit_component::StringEncoding;
use wit_dylib::{DylibOpts, Metadata, metadata::Type};
use wit_parser::{Resolve, SourceMap, WorldId};

use crate::base::contract;

/// The name of the module through which Python code calls the host.
pub(super) const MODULE: &str = "wasmserve_host";

/// The module that exports, and the classes in it that have the exported functions, by interface.
const EXPORTS: [(&str, &str); 2] =
    [("wasmserve:gateway/handler@0.1.0", "Handler"), ("wasmserve:python/setup@0.1.0", "Setup")];

/// What the runtime is linked with, and what it has to be given when it starts.
pub(super) struct Bindings {
    /// A dynamic library that converts between the runtime's calls and the world's functions.
    pub(super) library: Vec<u8>,
    /// The encoded types of the worlds.
    pub(super) worlds: Vec<Vec<u8>>,
    /// The module through which Python code calls the host, as source.
    pub(super) module: String,
    /// What the runtime has to know of the exports and types.
    pub(super) symbols: Symbols,
}

/// What the runtime has to know of the world: how Python names what the library refers to by number.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// For each export the class and the method, and whether the result is a `result`.
    pub(super) exports: Vec<(String, String, bool)>,
    /// For each tuple the number of its parts.
    pub(super) tuples: Vec<u32>,
    /// For each variant the names of the classes of its cases, and whether they have a payload.
    pub(super) variants: Vec<Vec<(String, bool)>>,
    /// The number of options.
    pub(super) options: usize,
    /// For each result whether it has a value, and whether it has an error.
    pub(super) results: Vec<(bool, bool)>,
}

/// Makes the bindings.
///
/// # Errors
///
/// Never in practice, because the result does not depend on user input.
pub(super) fn bindings() -> anyhow::Result<Bindings> {
    let mut resolve = Resolve::default();
    let mut last = None;
    // Each before those that need it.
    let packages = [
        ("wasi-cli.wit", include_str!("../../../../python/wasi-cli.wit").to_owned()),
        ("gateway.wit", contract::text()),
        ("world.wit", include_str!("../../../../python/world.wit").to_owned()),
    ];
    for (name, text) in packages {
        let mut sources = SourceMap::default();
        sources.push_str(name, text);
        let group = sources.parse().map_err(|(sources, error)| anyhow::anyhow!(error.render(&sources)))?;
        last = Some(resolve.push_group(group)?);
    }
    let package = last.context("there is a package")?;
    let world = |name| -> anyhow::Result<WorldId> { resolve.select_world(&[package], Some(name)) };
    let (python, linked) = (world("python")?, world("linked")?);
    // It is the name that the runtime's own library would have.
    let mut options = DylibOpts { interpreter: Some("libcomponentize_py_runtime.so".into()), ..DylibOpts::default() };
    let (library, metadata) = wit_dylib::create_with_metadata(&resolve, python, Some(&mut options));
    let encode = |world| wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None);
    let worlds = vec![encode(python)?, encode(linked)?];
    Ok(Bindings { library, worlds, module: module(&metadata), symbols: symbols(&metadata)? })
}

fn symbols(metadata: &Metadata) -> anyhow::Result<Symbols> {
    let mut symbols = Symbols { options: metadata.options.len(), ..Symbols::default() };
    for export in &metadata.export_funcs {
        let class = EXPORTS.iter().find(|(interface, _)| export.interface.as_deref() == Some(interface));
        let (_, class) = class.with_context(|| format!("no class exports `{}`", export.name))?;
        let is_result = matches!(export.result, Some(Type::Result(_)));
        symbols.exports.push(((*class).to_owned(), snake(&export.name), is_result));
    }
    for tuple in &metadata.tuples {
        symbols.tuples.push(u32::try_from(tuple.types.len())?);
    }
    for variant in &metadata.variants {
        let cases = variant.cases.iter().map(|(case, payload)| (class_of(&variant.name, case), payload.is_some()));
        symbols.variants.push(cases.collect());
    }
    for result in &metadata.results {
        symbols.results.push((result.ok.is_some(), result.err.is_some()));
    }
    Ok(symbols)
}

/// The Python module with a function for each function of the host.
fn module(metadata: &Metadata) -> String {
    let mut text = String::from(
        "\"\"\"Calls the host.\"\"\"\n\
         from componentize_py_runtime import call_import as _call\n\
         from componentize_py_types import Err as _Err\n\n\n\
         class Failed(OSError):\n    \
             \"\"\"An error that the host returned: its name, and what comes with it.\"\"\"\n\n    \
             def __init__(self, name, value=None):\n        \
                 super().__init__(name if value is None else f\"{name}: {value}\")\n        \
                 self.name = name\n        \
                 self.value = value\n\n\n\
         def _check(result):\n    \
             if isinstance(result, _Err):\n        \
                 error = result.value\n        \
                 raise Failed(error.case, error.value)\n    \
             return result.value\n",
    );
    for variant in &metadata.variants {
        for (case, payload) in &variant.cases {
            let class = class_of(&variant.name, case);
            // Writing to a string cannot fail.
            _ = write!(text, "\n\nclass {class}:\n    case = \"{case}\"\n");
            _ = match payload {
                Some(_) => write!(text, "\n    def __init__(self, value):\n        self.value = value\n"),
                None => writeln!(text, "    value = None"),
            };
        }
    }
    for (index, function) in metadata.import_funcs.iter().enumerate() {
        let parameters: Vec<String> = (0..function.args.len()).map(|at| format!("a{at}")).collect();
        let parameters = parameters.join(", ");
        let call = format!("_call({index}, [{parameters}])");
        let call = if matches!(function.result, Some(Type::Result(_))) { format!("_check({call})") } else { call };
        _ = write!(
            text,
            "\n\ndef {}({parameters}):\n    return {call}\n",
            snake(function.name.trim_start_matches("get-"))
        );
    }
    text
}

/// The name of the class for a case of a variant.
fn class_of(variant: &str, case: &str) -> String {
    format!("_{}_{}", snake(variant), snake(case))
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}
