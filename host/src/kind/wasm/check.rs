//! Checks whether a file is a component that can be served, and explains everything that is wrong with it.

use std::fmt;

use anyhow::bail;
use wasmtime::{
    Engine,
    component::{Component, Linker, LinkerInstance, ResourceType, types::ComponentItem},
};

use super::{
    explain,
    guest::Guest,
    interface::{self, Interface},
    preview1, settings,
    world::World,
};
use crate::base::limits::Limits;

/// Checks a file's first bytes, where most mistakes show.
///
/// # Errors
///
/// The file is neither a component nor a program for WASI 0.1. The error names what it is instead, and how to make a
/// component.
pub(crate) fn check_format(bytes: &[u8]) -> anyhow::Result<()> {
    // Precompiled components are native code, which cannot be sandboxed.
    if is_precompiled(bytes) {
        bail!("is a precompiled component, which is native code; serve the `.wasm` file that it was made from");
    }
    match bytes {
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        _ if preview1::is_core_module(bytes) => preview1::check(bytes),
        [b'\0', b'a', b's', b'm', _, _, _, _, ..] => {
            bail!("was made by a newer toolchain; this version of wasmserve reads components of version 0xd")
        }
        [b'\0', b'a', b's', b'm', ..] => bail!("is cut off after {} bytes; build or copy it again", bytes.len()),
        [] => bail!("is empty, not a wasm component"),
        _ => bail!(
            "is not a wasm component (it begins with `{}`); name a component built for wasm32-wasip2, a Rust file or a crate",
            String::from_utf8_lossy(&bytes[..bytes.len().min(8)])
        ),
    }
}

/// Whether a file's first bytes are those of a precompiled component.
pub(crate) fn is_precompiled(bytes: &[u8]) -> bool {
    Engine::detect_precompiled(bytes).is_some()
}

/// Checks that a component is of world `W`, can be linked, and that its instances fit into the limits.
///
/// # Errors
///
/// Imports or exports are missing, and the error names all of them; or a limit is too low.
pub(super) fn check<W: World>(component: &Component, linker: &Linker<Guest>, limits: &Limits) -> anyhow::Result<()> {
    let mut missing: Vec<String> = missing_imports(component, linker).iter().map(ToString::to_string).collect();
    let exports: Vec<String> =
        component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    match Interface::of(&exports) {
        None => missing.push(interface::none_is_exported()),
        Some(_) => missing.extend(W::missing_exports(component)),
    }
    if !missing.is_empty() {
        bail!("{}", missing.join("; "));
    }
    // What the host has under the same names may have other types.
    if let Err(error) = linker.instantiate_pre(component) {
        bail!("{error:#}");
    }
    check_size(component, limits)
}

/// Refuses a component with imports that the host cannot satisfy.
///
/// # Errors
///
/// There are such imports. The error names all of them.
pub(super) fn check_imports(missing: &[MissingImport]) -> anyhow::Result<()> {
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    if missing.is_empty() { Ok(()) } else { bail!("{}", missing.join("; ")) }
}

/// An import that the host cannot satisfy.
#[derive(Debug)]
pub(crate) struct MissingImport {
    /// The name of the import.
    pub name: String,
    /// What is missing in it, if the host has the rest.
    pub items: Vec<String>,
}

impl fmt::Display for MissingImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, items } = self;
        match items.is_empty() {
            true => write!(f, "the host has no import `{name}`")?,
            false => write!(f, "the host's `{name}` has no `{}`", items.join("`, `"))?,
        }
        match Origin::of(name) {
            Some(Origin::Draft) => write!(f, " (a draft of WASI: build it with current tools)"),
            Some(Origin::Proposal) => write!(f, " (a proposal for WASI, which no version of it contains)"),
            Some(Origin::Platform(platform)) => write!(f, " (only {platform} has it)"),
            None => Ok(()),
        }
    }
}

/// Why an interface is not one of ours.
enum Origin {
    /// It is of a version of WASI before 0.2.0.
    Draft,
    /// It is not a part of WASI, although it is named so.
    Proposal,
    /// It belongs to another host.
    Platform(&'static str),
}

/// The packages of WASI.
const WASI: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

impl Origin {
    fn of(import: &str) -> Option<Self> {
        let (namespace, rest) = import.split_once(':')?;
        let (package, _) = rest.split_once('/')?;
        match namespace {
            "wasi" if !WASI.contains(&package) => Some(Self::Proposal),
            "wasi" if import.split_once('@').is_some_and(|(_, version)| version.contains('-')) => Some(Self::Draft),
            "fermyon" | "spin" => Some(Self::Platform("Spin")),
            "wasmcloud" => Some(Self::Platform("wasmCloud")),
            "fastly" => Some(Self::Platform("Fastly Compute")),
            _ => None,
        }
    }
}

/// Returns the imports that the linker cannot satisfy.
///
/// wasmtime names one missing import at a time, and a stub in its place would need the types of what it refers to. So each
/// name is looked up: the linker refuses to define twice what it has already.
pub(super) fn missing_imports(component: &Component, linker: &Linker<Guest>) -> Vec<MissingImport> {
    let engine = component.engine();
    let world = component.component_type();
    let mut linker = linker.clone();
    let (mut missing, mut resources) = (Vec::new(), Vec::new());
    // Whether an item has to be defined, unlike types of values, and other names of a resource.
    let mut is_needed = |item: &ComponentItem| match item {
        ComponentItem::Type(_) => false,
        ComponentItem::Resource(resource) if resources.contains(resource) => false,
        ComponentItem::Resource(resource) => {
            resources.push(*resource);
            true
        }
        _ => true,
    };
    for (name, import) in world.imports(engine) {
        let name = name.to_owned();
        match import.ty {
            ComponentItem::ComponentInstance(instance) => {
                let items: Vec<_> = instance.exports(engine).filter(|(_, export)| is_needed(&export.ty)).collect();
                // An instance that exists under this name is kept.
                let Ok(mut linked) = linker.instance(&explain::linked_name(&name)) else { continue };
                let mut absent = Vec::new();
                for (item, export) in &items {
                    if !is_defined(&mut linked, item, &export.ty) {
                        absent.push((*item).to_owned());
                    }
                }
                if absent.len() == items.len() && !items.is_empty() {
                    missing.push(MissingImport { name, items: Vec::new() });
                } else if !absent.is_empty() {
                    missing.push(MissingImport { name, items: absent });
                }
            }
            item if is_needed(&item) && !is_defined(&mut linker.root(), &name, &item) => {
                missing.push(MissingImport { name, items: Vec::new() });
            }
            _ => {}
        }
    }
    missing
}

/// Whether the linker has an item of this name. If not, it has one afterwards.
fn is_defined(linker: &mut LinkerInstance<'_, Guest>, name: &str, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::Resource(_) => linker.resource(name, ResourceType::host::<()>(), |_, _| Ok(())).is_err(),
        _ => linker.func_new(name, |_, _, _, _| Ok(())).is_err(),
    }
}

/// The size of a wasm page in bytes.
const WASM_PAGE: u64 = 64 << 10;

/// Checks that instances fit into the limits, so that the error is reported once and not for each request.
fn check_size(component: &Component, limits: &Limits) -> anyhow::Result<()> {
    let Some(required) = component.resources_required() else {
        bail!("it imports core modules, which wasmserve does not support");
    };
    let mut too_large = Vec::new();
    let bytes = required.max_initial_memory_size.unwrap_or(0).saturating_mul(WASM_PAGE);
    if bytes > limits.memory {
        too_large.push(format!("its memory starts with {bytes} bytes, and --max-memory is {}", limits.memory));
    }
    // The driver of the filters has a memory, too.
    let more = if limits.layers > 1 { limits.layers } else { 0 };
    let counts = [
        ("memories", required.num_memories, settings::MEMORIES_PER_COMPONENT + more),
        ("tables", required.num_tables, settings::TABLES_PER_COMPONENT + 2 * more),
    ];
    for (what, count, limit) in counts {
        if count > limit {
            too_large.push(format!("it has {count} {what}; the limit is {limit}"));
        }
    }
    if too_large.is_empty() { Ok(()) } else { bail!("{}", too_large.join("; ")) }
}
