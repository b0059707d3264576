//! The trait for worlds of components: what a world imports and how it is called.

use std::{future::Future, path::Path};

use wasmtime::{
    Engine, Store,
    component::{Component, InstancePre, Linker},
};

use super::{
    guest::Guest,
    settings::{Abi, Memories},
};

/// A world of components: what they import in addition to WASI, and how an exchange calls what they export.
///
/// Everything else is the same for all worlds: the store and its limits, the lanes, waits, stacks, the guest log and the
/// compile cache.
pub(super) trait World: Send + Sync + 'static {
    /// A component of this world, ready to be instantiated.
    type Pre: Send + Sync + 'static;

    /// How components of this world are called.
    const ABI: Abi;

    /// Where the memories of instances come from.
    const MEMORIES: Memories = Memories::Pool;

    /// How many bytes of a body without a declared length are read before a handler of this world starts.
    const MEASURES: u64 = 0;

    /// Links the imports of this world other than WASI 0.2.
    ///
    /// # Errors
    ///
    /// Never in practice, because the result does not depend on user input.
    fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()>;

    /// Messages about the exports of this world that a component lacks; empty if it lacks none.
    fn missing_exports(component: &Component) -> Vec<String>;

    /// Looks up the exports once for all instances. `name` is the path of the handler as the user named it.
    ///
    /// # Errors
    ///
    /// An export is missing.
    fn prepare(pre: InstancePre<Guest>, name: &Path) -> wasmtime::Result<Self::Pre>;

    /// The engine that `pre` was prepared for.
    fn engine(pre: &Self::Pre) -> &Engine;

    /// Creates an instance and has it answer the exchange in `store`. The inner result is the handler's own.
    fn answer(
        pre: &Self::Pre,
        store: &mut Store<Guest>,
    ) -> impl Future<Output = wasmtime::Result<Result<(), String>>> + Send;
}
