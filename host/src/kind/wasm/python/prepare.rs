//! Runs Python before there is an exchange, to make the image of memory that instances start from.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use wasmtime::{
    Module, ResourceLimiter, Store, StoreContextMut, UpdateDeadline,
    component::{Component, Instance, Lift, Linker, Lower, ResourceTable, WasmList, types::ComponentItem},
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};

use super::{assemble::CODE, link::SHOW};
use crate::{
    base::grants::Dir,
    event::{Event, Events, Listener, Stream, notice::Level},
    kind::wasm::{guest_log::GuestLog, image::Image},
};

/// What an instance may use that prepares an image.
pub(super) struct Limits {
    /// How long it may take.
    pub(super) timeout: Duration,
    /// How much memory it may use, in bytes.
    pub(super) memory: u64,
}

/// What such an instance can reach.
struct Setting {
    wasi: WasiCtx,
    table: ResourceTable,
    /// All of its memory.
    memory: Option<WasmList<u8>>,
    limit: usize,
}

impl WasiView for Setting {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for Setting {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.limit)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// An instance that prepares an image.
pub(super) struct Preparation {
    store: Store<Setting>,
    instance: Instance,
}

/// Runs `body` with an instance of a component that begins with this image, and returns its memory afterwards. Blocks until
/// it is done.
///
/// # Errors
///
/// `body` fails, or the component cannot be instantiated.
pub(super) fn run(
    engine: &wasmtime::Engine,
    code: &Module,
    component: &Component,
    image: &Arc<Image>,
    wasi: WasiCtx,
    limits: &Limits,
    body: impl AsyncFnOnce(&mut Preparation) -> anyhow::Result<()> + Send,
) -> anyhow::Result<Vec<u8>> {
    let linker = linker(engine, code, component)?;
    let setting = Setting {
        wasi,
        table: ResourceTable::new(),
        memory: None,
        limit: usize::try_from(limits.memory).unwrap_or(usize::MAX),
    };
    let mut store = Store::new(engine, setting);
    store.limiter(|setting| setting);
    store.set_hostcall_fuel(usize::MAX >> 1);
    store.set_epoch_deadline(1);
    let (deadline, timeout) = (Instant::now() + limits.timeout, limits.timeout);
    store.epoch_deadline_callback(move |_| match Instant::now() < deadline {
        true => Ok(UpdateDeadline::Continue(1)),
        false => Err(wasmtime::Error::msg(format!("it takes longer than {} s", timeout.as_secs_f32()))),
    });
    // The caller's thread may run a runtime already, and cannot wait for a future then.
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let instance = image.begin(linker.instantiate_async(&mut store, component)).await?;
                let mut preparation = Preparation { store, instance };
                body(&mut preparation).await?;
                preparation.call::<(), ()>(None, "settle", ()).await?;
                preparation.memory()
            })
        });
        run.join().map_err(|_| anyhow!("preparing Python has panicked"))?
    })
}

impl Preparation {
    /// Calls an exported function, or one of an exported interface.
    ///
    /// # Errors
    ///
    /// There is none of this type, or it fails.
    pub(super) async fn call<P, R>(&mut self, interface: Option<&str>, name: &str, parameters: P) -> anyhow::Result<R>
    where
        P: wasmtime::component::ComponentNamedList + Lower + Send + Sync,
        R: wasmtime::component::ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let export = self.export(interface, name)?;
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, export)?;
        Ok(function.call_async(&mut self.store, parameters).await?)
    }

    /// Looks up an exported function.
    fn export(
        &mut self,
        interface: Option<&str>,
        name: &str,
    ) -> anyhow::Result<wasmtime::component::ComponentExportIndex> {
        let interface = match interface {
            Some(interface) => {
                let found = self.instance.get_export_index(&mut self.store, None, interface);
                Some(found.with_context(|| format!("there is no `{interface}`"))?)
            }
            None => None,
        };
        let found = self.instance.get_export_index(&mut self.store, interface.as_ref(), name);
        found.with_context(|| format!("there is no `{name}`"))
    }

    /// Calls a function whose parameters have no types in Rust, and which returns a `result<_, string>`.
    ///
    /// # Errors
    ///
    /// There is none, it fails, or it returns an error.
    pub(super) async fn call_with(
        &mut self,
        interface: &str,
        name: &str,
        parameters: &[wasmtime::component::Val],
    ) -> anyhow::Result<()> {
        use wasmtime::component::Val;
        let export = self.export(Some(interface), name)?;
        let function = self.instance.get_func(&mut self.store, export).context("it is a function")?;
        let mut results = [Val::Bool(false)];
        function.call_async(&mut self.store, parameters, &mut results).await?;
        match results {
            [Val::Result(Err(Some(text)))] => match *text {
                Val::String(text) => bail!(text),
                _ => bail!("failed"),
            },
            _ => Ok(()),
        }
    }

    fn memory(&self) -> anyhow::Result<Vec<u8>> {
        let memory = self.store.data().memory.as_ref().context("the memory was not shown")?;
        Ok(memory.as_le_slice(&self.store).to_vec())
    }
}

/// Links WASI, the code, and for everything else functions that fail: there is no exchange.
fn linker(engine: &wasmtime::Engine, code: &Module, component: &Component) -> anyhow::Result<Linker<Setting>> {
    let mut linker = Linker::<Setting>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    linker.root().module(CODE, code)?;
    linker.instance(SHOW.0)?.func_wrap(
        SHOW.1,
        |mut store: StoreContextMut<'_, Setting>, (memory,): (WasmList<u8>,)| {
            store.data_mut().memory = Some(memory);
            Ok(())
        },
    )?;
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if !name.starts_with("wasmserve:") || name == SHOW.0 {
            continue;
        }
        let mut linked = linker.instance(name)?;
        for (function, export) in interface.exports(engine) {
            if matches!(export.ty, ComponentItem::ComponentFunc(_)) {
                linked.func_new(function, |_, _, _, _| Err(wasmtime::Error::msg("there is no request yet")))?;
            }
        }
    }
    Ok(linker)
}

/// A WASI context with these directories and variables. What is written goes to `output`.
///
/// # Errors
///
/// A directory cannot be opened.
pub(super) fn wasi(
    output: Option<&Output>,
    dirs: &[Dir],
    variables: impl IntoIterator<Item = (String, String)>,
) -> anyhow::Result<WasiCtx> {
    let mut builder = WasiCtx::builder();
    if let Some(Output(log)) = output {
        builder.stdout(log.stream(Stream::Stdout)).stderr(log.stream(Stream::Stderr));
    }
    for Dir { host, guest, read_only } in dirs {
        let perms = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        builder.preopened_dir(host, guest, perms).map_err(|error| anyhow!("`{}`: {error}", host.display()))?;
    }
    for (name, value) in variables {
        builder.env(name, value);
    }
    Ok(builder.build())
}

/// Turns the lines that are written before there is an exchange into notices.
pub(super) struct Output(GuestLog);

impl Output {
    /// `name` is what the user calls the application.
    pub(super) fn new(events: &Arc<Events>, name: &Path) -> Self {
        let lines = Lines { events: Arc::clone(events), name: name.display().to_string() };
        let events = Arc::new(Events::new(vec![Arc::new(lines)]));
        Self(GuestLog::new(0, None, events, Arc::default(), &crate::base::limits::Limits::DEFAULT))
    }
}

struct Lines {
    events: Arc<Events>,
    name: String,
}

impl Listener for Lines {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Line { line, .. } = event {
            self.events.notice(Level::Info, format!("`{}`: {}", self.name, String::from_utf8_lossy(line)));
        }
    }
}
