//! A component as a handler: its instances, their limits, and what their ends mean.

use std::{
    borrow::Cow,
    fmt, fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

use super::{
    Call,
    anatomy::Anatomy,
    bindings::ApplicationPre,
    engine::{Core, Engine},
    host::Guest,
    journal::Journal,
    lanes::{self, Ongoing},
    sandbox::Memory,
    world,
};
use crate::{
    config::Limits,
    fault::{Fault, Limit},
    roster::{Running, Wait},
    stack::{Frame, Stack},
};

/// A component that is ready to serve.
pub(super) struct Component {
    engine: Arc<Engine>,
    /// What it was read as, for when it has to be prepared again.
    octets: Cow<'static, [u8]>,
    pre: ArcSwap<ApplicationPre<Guest>>,
    missing_dirs_noted: Arc<AtomicBool>,
}

/// Reads the file of a component.
///
/// # Errors
///
/// It cannot be read, or has more than `size` octets.
pub fn read(path: &Path, size: u64) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    if let Ok(metadata) = fs::metadata(path)
        && metadata.len() > size
    {
        bail!("`{name}` has {} octets, and --max-component allows {size}", metadata.len());
    }
    fs::read(path).with_context(|| format!("`{name}` cannot be read"))
}

impl Component {
    /// See [`Handler::compile`](super::Handler::compile).
    pub(super) fn compile(
        engine: &Arc<Engine>,
        name: &Path,
        octets: Cow<'static, [u8]>,
        limits: &Limits,
    ) -> anyhow::Result<Arc<Self>> {
        let (core, name) = (engine.core(), name.display());
        let component = compile(engine, &core, &name.to_string(), &octets)?;
        world::check(&component, &core.linker, limits).with_context(|| format!("`{name}` cannot be served"))?;
        let pre = ArcSwap::from_pointee(link(&core, &component)?);
        let component = Arc::new(Self { engine: Arc::clone(engine), octets, pre, missing_dirs_noted: Arc::default() });
        engine.enrol(&component);
        Ok(component)
    }

    /// Prepares it for instances that are made with `core`, in the time that it takes to find it in the cache.
    pub(super) fn prepare(&self, core: &Core) -> anyhow::Result<ApplicationPre<Guest>> {
        let component = wasmtime::component::Component::from_binary(&core.engine, &self.octets)?;
        link(core, &component)
    }

    /// Has the instances of all calls to come made like this.
    pub(super) fn renew(&self, pre: ApplicationPre<Guest>) {
        self.pre.store(Arc::new(pre));
    }

    /// Makes an instance, has it handle the exchange, and throws it away.
    pub(super) fn call(&self, call: Call, deadline: Instant, running: Running) -> Ongoing {
        let pre = self.pre.load_full();
        let watch = Arc::clone(running.watch());
        let guest = Guest {
            deadline,
            journal: Journal::new(call.id, Arc::clone(&call.record), &call.allowance.limits),
            memory: Memory::new(call.allowance.limits.memory, self.engine.budget(), &watch),
            missing_dirs_noted: Arc::clone(&self.missing_dirs_noted),
            wasi: None,
            watch,
            call,
        };
        // Here, so that the future has no room for the guest beside the store's.
        let mut store = new_store(pre.engine(), guest);
        Ongoing::new(Some(self.engine.slow_lane()), running, async move {
            let outcome = tokio::time::timeout_at(deadline.into(), async {
                let instance = pre.instantiate_async(&mut store).await?;
                instance.wasmserve_gateway_handler().call_handle(&mut store).await
            })
            .await;
            let result = match outcome {
                Ok(outcome) => conclude(outcome, store.data_mut()),
                // It waits for something that nobody watches.
                Err(_) => Err(Fault::TimedOut { limit: Limit::Wall, wait: None, stack: Stack::default() }),
            };
            let guest = store.data_mut();
            if let Some(note) = guest.call.writer.unsent() {
                guest.journal.say("note", note.as_bytes());
            }
            // The exception that a handler reported is told once: as the reason of a fault, or else on its own.
            if let Some(exception) = guest.call.writer.take_exception() {
                guest.journal.say("exception", &exception);
            }
            result
        })
    }
}

/// What can be told of a component before it serves.
#[derive(Debug)]
pub struct Inspected {
    /// How many octets its file has.
    pub size: usize,
    /// What it is made of.
    pub anatomy: Anatomy,
    /// Those of its imports that it will not get.
    pub missing: Vec<String>,
    /// Why it cannot be served, if it cannot.
    pub verdict: Result<(), String>,
}

/// Tells what a component is. It is compiled for that, and linked, but not run.
///
/// # Errors
///
/// It cannot be read, has more than `size` octets, or is no component.
pub fn inspect(engine: &Engine, path: &Path, size: u64) -> anyhow::Result<Inspected> {
    let (octets, name) = (read(path, size)?, path.display());
    let named = |error: anyhow::Error| anyhow!("`{name}` {error:#}");
    world::check_format(&octets).map_err(named)?;
    let anatomy = Anatomy::read(&octets).map_err(named)?;
    let mut inspected = Inspected { size: octets.len(), anatomy, missing: Vec::new(), verdict: Ok(()) };
    let core = engine.core();
    let verdict = compile(engine, &core, &name.to_string(), &octets).and_then(|component| {
        inspected.missing = world::missing_imports(&component, &core.linker)?;
        world::check(&component, &core.linker, &Limits::DEFAULT)
    });
    inspected.verdict = verdict.map_err(|error| format!("{error:#}"));
    Ok(inspected)
}

/// Compiles it, in a process of its own first if the engine has components compiled so.
///
/// # Errors
///
/// It is no component, or takes too much.
fn compile(engine: &Engine, core: &Core, name: &str, octets: &[u8]) -> anyhow::Result<wasmtime::component::Component> {
    let checked = world::check_format(octets).and_then(|()| engine.check_compiles(name, octets));
    checked.map_err(|error| anyhow!("`{name}` {error:#}"))?;
    wasmtime::component::Component::from_binary(&core.engine, octets)
        .map_err(|error| anyhow!("`{name}` is not a valid component: {}", error.root_cause()))
}

/// Gives it what it imports.
fn link(core: &Core, component: &wasmtime::component::Component) -> anyhow::Result<ApplicationPre<Guest>> {
    Ok(ApplicationPre::new(core.linker.instantiate_pre(component)?)?)
}

fn new_store(engine: &wasmtime::Engine, guest: Guest) -> Store<Guest> {
    let limits = &guest.call.allowance.limits;
    let (arguments, handles) = (limits.arguments.unwrap_or(limits.memory), limits.handles);
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(usize::try_from(arguments).unwrap_or(usize::MAX));
    store.set_max_component_handles(handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        let guest = store.data();
        let computed = lanes::charge(&guest.watch);
        if guest.watch.is_asked_for_stack() {
            guest.watch.set_stack(stack(&WasmBacktrace::force_capture(&store)));
        }
        if Instant::now() >= guest.deadline {
            return Err(Overdue { limit: Limit::Wall, wait: None }.into());
        }
        if computed >= guest.call.allowance.limits.cpu_time {
            return Err(Overdue { limit: Limit::Cpu, wait: None }.into());
        }
        Ok(lanes::overrun(computed))
    });
    store
}

/// A handler has no more time.
#[derive(Debug)]
pub(super) struct Overdue {
    pub(super) limit: Limit,
    /// What it waited for, if it did.
    pub(super) wait: Option<Wait>,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the time is over")
    }
}

impl std::error::Error for Overdue {}

/// Says how a call ended, in the gateway's words.
fn conclude(outcome: wasmtime::Result<Result<(), String>>, guest: &mut Guest) -> Result<(), Fault> {
    let error = match outcome {
        Ok(returned) => return guest.call.conclude(returned),
        Err(error) => error,
    };
    let stack = error.downcast_ref::<WasmBacktrace>().map(stack).unwrap_or_default();
    if let Some(Overdue { limit, wait }) = error.downcast_ref() {
        return Err(Fault::TimedOut { limit: *limit, wait: *wait, stack });
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Err(Fault::Busy);
    }
    let fault = match (error.downcast_ref::<I32Exit>(), guest.memory.refusal()) {
        // A program's way to say that all went well.
        (Some(I32Exit(0)), _) => return guest.call.conclude(Ok(())),
        (Some(I32Exit(status)), _) => Fault::Exited(*status),
        (None, Some(refusal)) => return Err(Fault::OutOfMemory(refusal)),
        (None, None) => trap(&error, stack, guest),
    };
    Err(guest.call.blame(fault))
}

/// A panic's message if there is one, else the trap in wasmtime's words.
fn trap(error: &wasmtime::Error, stack: Stack, guest: &mut Guest) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return Fault::StackOverflow { stack };
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Fault::TooManyHandles { stack };
    }
    let reason = match (guest.call.writer.take_exception(), trap) {
        (Some(exception), _) => String::from_utf8_lossy(&exception).into_owned(),
        (None, Some(trap)) => trap.to_string(),
        (None, None) => error.root_cause().to_string(),
    };
    Fault::Trap { reason, stack }
}

/// wasmtime's frames, in our words.
pub(super) fn stack(backtrace: &WasmBacktrace) -> Stack {
    let frames = backtrace.frames().iter().map(|frame| {
        let symbol = frame.symbols().first();
        let name = frame.func_name().or_else(|| symbol?.name());
        let function = match name {
            Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
            None => format!("function {}", frame.func_index()),
        };
        let place = symbol.and_then(|symbol| Some(format!("{}:{}", symbol.file()?, symbol.line()?)));
        Frame { function, place }
    });
    Stack::new(frames.collect())
}
