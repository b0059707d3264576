//! Composes a handler with its parts, as components beside each other. This takes any handler.

use anyhow::Context as _;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, types::Package};

use super::{
    handler::{Handler, INCOMING_HANDLER, Keep},
    needs::Needs,
    parts::{self, EXCHANGE},
    stand_in,
};
use crate::kind::wasm::gateway::HANDLER;

/// What the provider needs that a host may lack.
const ENVIRONMENT: &str = "wasi:cli/environment@0.2.0";

/// A component of `wasi:http` that contains the handler and its parts.
pub(super) fn compose(handler: &Handler<'_>, needs: &Needs, keep: Keep) -> anyhow::Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let provider = add(&mut graph, "provider", parts::provider()?)?;
    if !keep.cli {
        let environment = stand_in::component(parts::resolve()?, &[ENVIRONMENT.to_owned()])?;
        let environment = add(&mut graph, "environment", environment)?;
        join(&mut graph, (environment, ENVIRONMENT), (provider, ENVIRONMENT))?;
    }
    let joined = add(&mut graph, "handler", handler.bytes.to_vec())?;
    if !needs.stand_in.is_empty() {
        let stand_in = stand_in::component(handler.resolve.clone(), &needs.stand_in)?;
        let stand_in = add(&mut graph, "stand-in", stand_in)?;
        for interface in &needs.stand_in {
            join(&mut graph, (stand_in, interface), (joined, interface))?;
        }
    }
    for interface in &needs.provider {
        join(&mut graph, (provider, interface), (joined, interface))?;
    }
    let driver = add(&mut graph, "driver", parts::driver()?)?;
    join(&mut graph, (provider, EXCHANGE), (driver, EXCHANGE))?;
    join(&mut graph, (joined, HANDLER), (driver, HANDLER))?;
    let handle = graph.alias_instance_export(driver, INCOMING_HANDLER)?;
    graph.export(handle, INCOMING_HANDLER)?;
    Ok(graph.encode(EncodeOptions { processor: None, ..EncodeOptions::default() })?)
}

/// Adds an instance of a component to the graph.
fn add(graph: &mut CompositionGraph, name: &str, component: Vec<u8>) -> anyhow::Result<NodeId> {
    let package = Package::from_bytes(&format!("wasmserve:{name}"), None, component, graph.types_mut());
    let package = graph.register_package(package.with_context(|| format!("the {name}"))?)?;
    let instance = graph.instantiate(package);
    graph.set_node_name(instance, name);
    Ok(instance)
}

/// Makes the export of an instance the import of another one.
fn join(graph: &mut CompositionGraph, from: (NodeId, &str), to: (NodeId, &str)) -> anyhow::Result<()> {
    let export = graph.alias_instance_export(from.0, from.1)?;
    graph.set_instantiation_argument(to.0, to.1, export).with_context(|| format!("`{}` cannot be provided", to.1))
}
