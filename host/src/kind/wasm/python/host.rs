//! How exchanges call Python, and what it imports beside the gateway.

use std::{path::Path, sync::Arc};

use wasmtime::{
    Engine, Store, StoreContextMut,
    component::{Component, InstancePre, Linker, WasmList},
};

use super::{link::SHOW, passwords, stack::View};
use crate::kind::wasm::{
    bindings::ApplicationPre,
    gateway::Gateway,
    guest::Guest,
    image::Image,
    settings::{Abi, Memories},
    world::World,
};

/// The world of Python applications.
pub(in crate::kind::wasm) enum Python {}

/// An application, ready to be instantiated.
pub(in crate::kind::wasm) struct Prepared {
    application: ApplicationPre<Guest>,
    /// What its memory begins with.
    image: Arc<Image>,
    /// The address of the interpreter's state.
    runtime: u32,
}

impl Python {
    /// Looks up the export once for all instances.
    ///
    /// # Errors
    ///
    /// It is missing.
    pub(super) fn prepared(pre: InstancePre<Guest>, image: Arc<Image>, runtime: u32) -> anyhow::Result<Prepared> {
        Ok(Prepared { application: ApplicationPre::new(pre)?, image, runtime })
    }
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
        store.data_mut().python = Some(View { runtime: pre.runtime, memory: None });
        let instance = pre.image.begin(pre.application.instantiate_async(&mut *store)).await?;
        instance.wasmserve_gateway_handler().call_handle(store).await
    }
}
