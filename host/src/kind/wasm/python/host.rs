//! How exchanges call Python, and what it imports beside the gateway.

use std::{path::Path, sync::Arc};

use super::{dirs::Dirs, link::SHOW, locks::Locks, passwords, stack::View};
use crate::kind::wasm::{
    bindings::ApplicationPre,
    gateway::Gateway,
    guest::Guest,
    image::Image,
    settings::{Abi, Memories},
    world::World,
};
use wasmtime::{
    Engine, Store, StoreContextMut,
    component::{Component, InstancePre, Linker, WasmList},
};

/// The world of Python applications.
pub(in crate::kind::wasm) enum Python {}

/// An application, ready to be instantiated.
pub(in crate::kind::wasm) struct Prepared {
    pub(super) application: ApplicationPre<Guest>,
    /// What its memory begins with.
    pub(super) image: Arc<Image>,
    pub(super) dirs: Arc<Dirs>,
    /// The address of the interpreter's state.
    pub(super) runtime: u32,
}

impl World for Python {
    type Pre = Prepared;

    const ABI: Abi = Abi::Sync;

    const MEMORIES: Memories = Memories::Images;

    fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        Gateway::link(linker)?;
        linker.instance(SHOW.0)?.func_wrap(
            SHOW.1,
            |mut store: StoreContextMut<'_, Guest>, (memory,): (WasmList<u8>,)| {
                if let Some(view) = &mut store.data_mut().python {
                    view.memory = Some(memory);
                }
                Ok(())
            },
        )?;
        passwords::link(linker)
    }

    fn missing_exports(_: &Component) -> Vec<String> {
        Vec::new()
    }

    fn prepare(_: InstancePre<Guest>, _: &Path) -> wasmtime::Result<Self::Pre> {
        unreachable!("applications are prepared from their image")
    }

    fn engine(pre: &Self::Pre) -> &Engine {
        pre.application.engine()
    }

    async fn answer(pre: &Self::Pre, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), String>> {
        store.data_mut().python =
            Some(View { runtime: pre.runtime, memory: None, dirs: Arc::clone(&pre.dirs), locks: Locks::default() });
        let instance = pre.image.begin(pre.application.instantiate_async(&mut *store)).await?;
        instance.wasmserve_gateway_handler().call_handle(store).await
    }
}
