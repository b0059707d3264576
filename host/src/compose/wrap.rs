//! Puts filters in front of a handler. The result is a handler like any other.
//!
//! What a handler imports, the filter in front of it exports, and so on to the host. A *driver* has what the host calls: it
//! calls the filters in turn, the handler, and the filters again.

mod driver;
mod filter;
mod names;

use anyhow::{Context as _, anyhow};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, types::Package};

pub(crate) use self::filter::Filter;
use crate::kind::wasm::{gateway::HANDLER, layer::FILTER};

/// The interfaces that a filter may change: those that the host has for handlers.
const GATEWAY: [&str; 4] = [
    "wasmserve:gateway/environ@0.1.0",
    "wasmserve:gateway/input@0.1.0",
    "wasmserve:gateway/errors@0.1.0",
    "wasmserve:gateway/response@0.1.0",
];

/// Puts filters in front of a handler, which is a component that exports `wasmserve:gateway/handler`. The first filter is
/// the outermost one.
///
/// # Errors
///
/// A component is malformed, or two of them import something under the same name with types that differ.
pub(crate) fn wrap(filters: &[Filter], handler: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut layers = Vec::with_capacity(filters.len());
    for (at, filter) in filters.iter().enumerate() {
        let component = names::mark(&filter.component, filter.title());
        let added = component.and_then(|component| add(&mut graph, &format!("filter{at}"), component, &layers));
        layers.push(added.with_context(|| format!("the filter `{}`", filter.name))?);
    }
    let handler = add(&mut graph, "handler", handler.to_vec(), &layers).context("the handler")?;
    let driver = add(&mut graph, "driver", driver::component(filters)?, &[])?;
    for (at, layer) in layers.iter().enumerate() {
        let filter = graph.alias_instance_export(layer.instance, FILTER)?;
        graph.set_instantiation_argument(driver.instance, &driver::import(at), filter)?;
    }
    let handle = graph.alias_instance_export(handler.instance, HANDLER)?;
    graph.set_instantiation_argument(driver.instance, HANDLER, handle)?;
    let handle = graph.alias_instance_export(driver.instance, HANDLER)?;
    graph.export(handle, HANDLER)?;
    let encoded = graph.encode(EncodeOptions { processor: None, ..EncodeOptions::default() });
    encoded.map_err(|error| anyhow!("{error:#}"))
}

/// A component in the graph.
struct Layer {
    instance: NodeId,
    /// Which of the gateway's interfaces it exports.
    exports: Vec<&'static str>,
}

/// Adds an instance of a component, which imports what the `layers` in front of it export.
fn add(graph: &mut CompositionGraph, name: &str, component: Vec<u8>, layers: &[Layer]) -> anyhow::Result<Layer> {
    let package = Package::from_bytes(&format!("wasmserve:{name}"), None, component, graph.types_mut())?;
    let world = &graph.types()[package.ty()];
    let has = |names: &[&'static str], is_there: &dyn Fn(&str) -> bool| -> Vec<&'static str> {
        names.iter().copied().filter(|name| is_there(name)).collect()
    };
    let imports = has(&GATEWAY, &|name| world.imports.contains_key(name));
    let exports = has(&GATEWAY, &|name| world.exports.contains_key(name));
    let package = graph.register_package(package)?;
    let instance = graph.instantiate(package);
    graph.set_node_name(instance, name);
    for import in imports {
        // Without such a layer, the host has it.
        if let Some(layer) = layers.iter().rev().find(|layer| layer.exports.contains(&import)) {
            let export = graph.alias_instance_export(layer.instance, import)?;
            graph.set_instantiation_argument(instance, import, export)?;
        }
    }
    Ok(Layer { instance, exports })
}
