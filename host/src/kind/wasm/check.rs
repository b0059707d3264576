//! Checks whether a file is a component that can be served, and explains everything that is wrong with it.

use anyhow::bail;
use wasmtime::{
    Engine,
    component::{
        Component, Linker, LinkerInstance, ResourceType,
        types::{ComponentInstance, ComponentItem},
    },
};

use super::{guest::Guest, phrases, preview1, settings, world::World};
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
    let mut missing: Vec<String> =
        missing_imports(component, linker)?.iter().map(|import| format!("the host has no import `{import}`")).collect();
    missing.extend(W::missing_exports(component));
    if missing.is_empty() { check_size(component, limits) } else { bail!("{}", missing.join("; ")) }
}

/// Returns the imports that the linker cannot satisfy.
///
/// wasmtime names one missing import at a time, so each one is replaced by a stub that traps, until linking succeeds.
///
/// # Errors
///
/// Linking fails for another reason.
pub(super) fn missing_imports(component: &Component, linker: &Linker<Guest>) -> anyhow::Result<Vec<String>> {
    let engine = component.engine();
    let world = component.component_type();
    let mut linker = linker.clone();
    linker.allow_shadowing(true);
    let mut missing = Vec::new();
    loop {
        let Err(error) = linker.instantiate_pre(component) else { return Ok(missing) };
        let cause = format!("{error:#}");
        let import = world
            .imports(engine)
            .find(|(name, _)| phrases::names_import(&cause, name) && !missing.iter().any(|known| known == name));
        let Some((name, import)) = import else { bail!("{cause}") };
        stub(&mut linker.root(), name, &import.ty, engine)?;
        missing.push(name.to_owned());
    }
}

fn stub(
    linker: &mut LinkerInstance<'_, Guest>,
    name: &str,
    item: &ComponentItem,
    engine: &Engine,
) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentFunc(_) => {
            linker.func_new(name, |_, _, _, _| Err(wasmtime::Error::msg("the import is missing")))
        }
        ComponentItem::Resource(_) => linker.resource(name, ResourceType::host::<()>(), |_, _| Ok(())),
        ComponentItem::ComponentInstance(instance) => stub_all(&mut linker.instance(name)?, instance, engine),
        _ => Ok(()),
    }
}

fn stub_all(
    linker: &mut LinkerInstance<'_, Guest>,
    instance: &ComponentInstance,
    engine: &Engine,
) -> wasmtime::Result<()> {
    for (name, export) in instance.exports(engine) {
        stub(linker, name, &export.ty, engine)?;
    }
    Ok(())
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
    let counts = [
        ("memories", required.num_memories, settings::MEMORIES_PER_COMPONENT),
        ("tables", required.num_tables, settings::TABLES_PER_COMPONENT),
    ];
    for (what, count, limit) in counts {
        if count > limit {
            too_large.push(format!("it has {count} {what}; the limit is {limit}"));
        }
    }
    if too_large.is_empty() { Ok(()) } else { bail!("{}", too_large.join("; ")) }
}
