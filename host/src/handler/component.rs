//! A component as a handler: its instances, their limits, and what their ends mean.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::Context as _;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::{
    Call, Live,
    bindings::ApplicationPre,
    engine::Engine,
    host::Guest,
    journal::Journal,
    lanes::{self, Ongoing},
    sandbox::Memory,
    world,
};
use crate::{config::Limits, fault::Fault};

/// A component that is ready to serve.
pub(super) struct Component {
    engine: Arc<Engine>,
    pre: ApplicationPre<Guest>,
    missing_dirs_noted: Arc<AtomicBool>,
}

impl Component {
    /// See [`Handler::load`](super::Handler::load).
    pub(super) fn load(engine: &Arc<Engine>, path: &Path, limits: &Limits) -> anyhow::Result<Self> {
        let name = path.display();
        let octets = fs::read(path).with_context(|| format!("`{name}` cannot be read"))?;
        world::check_format(&octets).with_context(|| format!("`{name}`"))?;
        let component = wasmtime::component::Component::from_binary(engine.wasmtime(), &octets)
            .map_err(|error| anyhow::anyhow!("`{name}` is not a valid component: {}", error.root_cause()))?;
        world::check(&component, engine.linker(), limits).with_context(|| format!("`{name}` cannot be served"))?;
        let pre = ApplicationPre::new(engine.linker().instantiate_pre(&component)?)?;
        Ok(Self { engine: Arc::clone(engine), pre, missing_dirs_noted: Arc::default() })
    }

    /// Makes an instance, has it handle the exchange, and throws it away.
    pub(super) fn call(&self, call: Call, deadline: Instant, live: Live) -> Ongoing {
        let pre = self.pre.clone();
        let guest = Guest {
            deadline,
            journal: Journal::new(call.id, Arc::clone(&call.record)),
            memory: Memory::new(call.allowance.limits.memory),
            missing_dirs_noted: Arc::clone(&self.missing_dirs_noted),
            wasi: None,
            call,
        };
        Ongoing::new(self.engine.slow_lane(), async move {
            let mut store = new_store(pre.engine(), guest);
            let outcome = tokio::time::timeout_at(deadline.into(), async {
                let instance = pre.instantiate_async(&mut store).await?;
                instance.wasmserve_gateway_handler().call_handle(&mut store).await
            })
            .await;
            let result = match outcome {
                Ok(outcome) => conclude(outcome, store.data_mut()),
                Err(_) => Err(Fault::TimedOut { place: None }),
            };
            let guest = store.data_mut();
            if let Some(note) = guest.call.writer.unsent() {
                guest.journal.say("note", note.as_bytes());
            }
            // The exception that a handler reported is told once: as the reason of a fault, or else on its own.
            if let Some(exception) = guest.call.writer.take_exception() {
                guest.journal.say("exception", &exception);
            }
            drop((store, live));
            result
        })
    }
}

fn new_store(engine: &wasmtime::Engine, guest: Guest) -> Store<Guest> {
    // A guest may pass to a host function whatever fits into its memory, and no more.
    let memory = guest.memory.limit();
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(memory);
    store.set_max_component_handles(1000);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        if Instant::now() >= store.data().deadline {
            return Err(Overdue.into());
        }
        Ok(lanes::overrun())
    });
    store
}

/// The time of a handler that computes is over.
#[derive(Debug)]
struct Overdue;

impl std::fmt::Display for Overdue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the deadline has passed")
    }
}

impl std::error::Error for Overdue {}

/// Says how a call ended, in the gateway's words.
fn conclude(outcome: wasmtime::Result<Result<(), String>>, guest: &mut Guest) -> Result<(), Fault> {
    let error = match outcome {
        Ok(returned) => return guest.call.conclude(returned),
        Err(error) => error,
    };
    if error.is::<Overdue>() {
        return Err(Fault::TimedOut { place: place(&error) });
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Err(Fault::Busy);
    }
    let fault = match error.downcast_ref::<I32Exit>() {
        // A program's way to say that all went well.
        Some(I32Exit(0)) => return guest.call.conclude(Ok(())),
        Some(I32Exit(status)) => Fault::Exited(*status),
        None if guest.memory.was_refused() => return Err(Fault::OutOfMemory),
        None => Fault::Trap(explain(&error, guest)),
    };
    Err(guest.call.blame(fault))
}

/// A panic's message if there is one, else the trap in wasmtime's words and the function that it was in.
fn explain(error: &wasmtime::Error, guest: &mut Guest) -> String {
    if let Some(exception) = guest.call.writer.take_exception() {
        return String::from_utf8_lossy(&exception).into_owned();
    }
    let trap = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    match place(error) {
        Some(place) => format!("{trap} in `{place}`"),
        None => trap,
    }
}

/// The function that the handler was in: its own, as far as that can be told, and not one of the library that it called.
fn place(error: &wasmtime::Error) -> Option<String> {
    let stack = error.downcast_ref::<WasmBacktrace>()?;
    let names = stack.frames().iter().filter_map(|frame| frame.func_name());
    let mut names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name))).peekable();
    let first = names.peek().cloned();
    let is_library = |name: &str| {
        ["core::", "alloc::", "std::", "<core::", "__", "rust_"].iter().any(|library| name.starts_with(library))
    };
    names.find(|name| !is_library(name)).or(first)
}
