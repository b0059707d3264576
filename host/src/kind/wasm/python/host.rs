//! How exchanges call Python, and what it imports beside the gateway.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use cap_primitives::{ambient_authority, fs::open_ambient_dir};
use wasmtime::{
    Engine, Store, StoreContextMut,
    component::{Component, InstancePre, Linker, WasmList},
};
use wasmtime_wasi::{FsPerms, OpenMode};

use super::{link::SHOW, passwords, stack::View};
use crate::{
    base::grants::Dir,
    kind::wasm::{
        bindings::ApplicationPre,
        gateway::Gateway,
        guest::Guest,
        image::Image,
        settings::{Abi, Memories},
        world::World,
    },
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

/// Directories that instances can only read, opened once for all of them, with the paths under which they see them.
#[derive(Default)]
pub(in crate::kind::wasm) struct Dirs(pub(in crate::kind::wasm) Vec<(wasmtime_wasi::filesystem::Dir, String)>);

impl Dirs {
    /// Opens directories.
    ///
    /// # Errors
    ///
    /// One cannot be opened.
    pub(super) fn open(dirs: &[Dir]) -> anyhow::Result<Self> {
        let open = |dir: &Dir| {
            let opened = open_ambient_dir(&dir.host, ambient_authority());
            let opened = opened.with_context(|| format!("`{}` cannot be opened", dir.host.display()))?;
            let opened = wasmtime_wasi::filesystem::Dir::new(opened, FsPerms::ReadOnly, OpenMode::READ, false);
            Ok((opened, dir.guest.clone()))
        };
        Ok(Self(dirs.iter().map(open).collect::<anyhow::Result<_>>()?))
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
        store.data_mut().python = Some(View { runtime: pre.runtime, memory: None, dirs: Arc::clone(&pre.dirs) });
        let instance = pre.image.begin(pre.application.instantiate_async(&mut *store)).await?;
        instance.wasmserve_gateway_handler().call_handle(store).await
    }
}
