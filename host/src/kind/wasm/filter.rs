//! Filters: components that are put in front of a handler. Only `compose` puts them there; this checks what they are.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use wasmtime::{
    ResourceLimiter, Store, UpdateDeadline,
    component::{Component, Linker},
};

use super::{
    check, component,
    cores::Core,
    engine::Engine,
    gateway::Gateway,
    inspect::ComponentInfo,
    interface::{Interface, is_filter, none_is_exported},
    layer::{FILTER, Setting},
    world::World as _,
};

/// How long a filter may take to check its options.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How much memory it may use for that, in bytes: each of its memories.
const MEMORY: usize = 64 << 20;

/// Checks that a component is a filter, that the host has what it imports, and that it takes these options. `name` is used
/// in messages. Blocks while compiling.
///
/// # Errors
///
/// It is something else, or it refuses the options.
pub(crate) fn check(engine: &Engine, name: &str, bytes: &[u8], settings: &[Setting]) -> anyhow::Result<()> {
    check::check_format(bytes).map_err(|error| anyhow!("`{name}` {error:#}"))?;
    let info = ComponentInfo::read(bytes).map_err(|error| anyhow!("`{name}` {error:#}"))?;
    if !is_filter(&info.exports) {
        bail!("`{name}` is not a filter: {}", instead(&info));
    }
    let core = engine.cores(Gateway::ABI, Gateway::MEMORIES)?.current();
    let component = component::compile::<Gateway>(engine, &core, name, bytes)?;
    let missing = check::missing_imports(&component, &core.linker_of::<Gateway>()?);
    check::check_imports(&missing).with_context(|| format!("`{name}` cannot be used as a filter"))?;
    let configured = configure(&core, &component, settings).with_context(|| format!("the filter `{name}`"))?;
    configured.map_err(|why| anyhow!("the filter `{name}` refuses its options: {why}"))
}

/// What a component is that is not a filter, and what to do with it.
fn instead(info: &ComponentInfo) -> String {
    let imports_handler = info.imports.iter().any(|import| import.starts_with("wasi:http/handler@"));
    match Interface::of(&info.exports) {
        Some(Interface::Gateway) => "it is a handler; name it before --wrap, or make it a filter with `filter!`".into(),
        Some(Interface::Service) if imports_handler => {
            "it is middleware of wasi:http 0.3; compose it with its handler, as `wac plug` does, and serve the result"
                .into()
        }
        Some(Interface::WasiHttp | Interface::Service) => {
            "it speaks wasi:http, where nothing can be put in front of a handler; write it with `filter!`".into()
        }
        Some(Interface::Command) => "it is a program; write it with `filter!`".into(),
        None if info.exports.iter().any(|export| export.starts_with("wasmserve:gateway/filter")) => {
            format!("it was made for another version of `{FILTER}`; build it again")
        }
        None => format!("it does not export `{FILTER}`; write it with `filter!`"),
    }
}

/// Checks that a component can have filters in front of it.
///
/// # Errors
///
/// It is not a handler made for wasmserve.
pub(crate) fn check_handler(bytes: &[u8]) -> anyhow::Result<()> {
    check_behind(&ComponentInfo::read(bytes)?.exports)
}

/// Checks the exports of a component that has filters in front of it.
///
/// # Errors
///
/// It is not a handler made for wasmserve.
pub(super) fn check_behind(exports: &[String]) -> anyhow::Result<()> {
    if is_filter(exports) {
        bail!("it is a filter itself; name a handler, and give the filter with another --wrap");
    }
    let what = match Interface::of(exports) {
        Some(Interface::Gateway) => return Ok(()),
        Some(Interface::WasiHttp | Interface::Service) => "it speaks wasi:http",
        Some(Interface::Command) => "it is a CGI program",
        None => return Err(anyhow!(none_is_exported())),
    };
    bail!("filters work only in front of handlers made for wasmserve, and {what}")
}

/// The limits of an instance that only checks options.
struct Check;

impl ResourceLimiter for Check {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MEMORY)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// Calls `configure`, in an instance that can call nothing. The inner result is the filter's own.
fn configure(core: &Core, component: &Component, settings: &[Setting]) -> anyhow::Result<Result<(), String>> {
    let mut linker = Linker::<Check>::new(&core.engine);
    linker.define_unknown_imports_as_traps(component)?;
    let mut store = Store::new(&core.engine, Check);
    store.limiter(|check| check);
    store.set_epoch_deadline(1);
    let deadline = Instant::now() + TIMEOUT;
    store.epoch_deadline_callback(move |_| match Instant::now() < deadline {
        true => Ok(UpdateDeadline::Continue(1)),
        false => Err(wasmtime::Error::msg("takes too long to check its options")),
    });
    // The caller's thread may run a runtime already, and cannot wait for a future then.
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            runtime.block_on(async {
                let instance = linker.instantiate_async(&mut store, component).await?;
                let interface = instance.get_export_index(&mut store, None, FILTER);
                let function = instance.get_export_index(&mut store, interface.as_ref(), "configure");
                let function = function.context("has no function `configure`")?;
                type Configure<'a> = (&'a [Setting],);
                let configure = instance.get_typed_func::<Configure<'_>, (Result<(), String>,)>(&mut store, function);
                let configure = configure.map_err(|_| anyhow!("has another `configure` than {FILTER}"))?;
                // A filter that needs more than its options to check them does that with each request.
                Ok(configure.call_async(&mut store, (settings,)).await.map_or(Ok(()), |(configured,)| configured))
            })
        });
        run.join().map_err(|_| anyhow!("checking its options has panicked"))?
    })
}
