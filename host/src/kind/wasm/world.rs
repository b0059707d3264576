//! What distinguishes the worlds that components can be of.

use std::future::Future;

use wasmtime::{
    Engine, Store,
    component::{Component, InstancePre, Linker},
};

use super::guest::Guest;

/// A world of components: what they import beside WASI, and how an exchange reaches what they export.
///
/// Everything else is the same for all of them: the store and its limits, the lanes, the waits, the stacks, the log and the compile
/// cache.
pub(super) trait World: Send + Sync + 'static {
    /// A component of this world that is ready to be instantiated.
    type Pre: Send + Sync + 'static;

    /// Links what components of this world import beside WASI.
    ///
    /// # Errors
    ///
    /// None in practice: it depends on nothing that the user gives.
    fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()>;

    /// What a component lacks to be one of this world, in words; empty if it is one.
    fn missing_exports(component: &Component) -> Vec<String>;

    /// Looks up the exports, once for all instances.
    ///
    /// # Errors
    ///
    /// One of them is not there.
    fn prepare(pre: InstancePre<Guest>) -> wasmtime::Result<Self::Pre>;

    /// The engine that it was prepared for.
    fn engine(pre: &Self::Pre) -> &Engine;

    /// Makes an instance and has it answer the exchange in its store: the inner result is the handler's own.
    fn answer(
        pre: &Self::Pre,
        store: &mut Store<Guest>,
    ) -> impl Future<Output = wasmtime::Result<Result<(), String>>> + Send;
}
