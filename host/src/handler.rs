//! The handler: a component that is loaded once and called once per exchange, each time in a fresh instance.
//!
//! Only the rooms below know wasmtime.

mod bindings;
mod engine;
mod host;
mod journal;
mod lanes;
mod sandbox;
mod world;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::Context as _;
use wasmtime::{
    Engine, PoolConcurrencyLimitError, Store, Trap, WasmBacktrace,
    component::{Component, HasSelf, Linker},
};
use wasmtime_wasi::I32Exit;

pub use self::lanes::Ongoing;
use self::{
    bindings::{Application, ApplicationPre},
    engine::Ticker,
    host::Guest,
    journal::Journal,
    lanes::SlowLane,
    sandbox::Memory,
};
use crate::{
    config::{Grants, Limits},
    fault::Fault,
    gateway::{environ::Peer, forwarded::Forwarded, input::Input, request::RequestHead, response::Writer},
    record::Record,
};

/// A component that is ready to serve.
pub struct Handler {
    pre: ApplicationPre<Guest>,
    limits: Limits,
    grants: Arc<Grants>,
    slow_lane: Arc<SlowLane>,
    live: Arc<AtomicUsize>,
    missing_dirs_noted: Arc<AtomicBool>,
    _ticker: Ticker,
}

/// One exchange, as the handler gets to see it.
pub struct Call {
    /// The exchange's id.
    pub id: u64,
    /// The request's head.
    pub request: RequestHead,
    /// The two ends of the connection.
    pub peer: Peer,
    /// What a trusted proxy said of it.
    pub forwarded: Forwarded,
    /// The length of the request's body, if it is known.
    pub content_length: Option<u64>,
    /// Whether all of the body is here.
    pub is_buffered: bool,
    /// The request's body.
    pub input: Input,
    /// Where the response goes.
    pub writer: Writer,
    /// Who is told what happens.
    pub record: Record,
}

impl Handler {
    /// Reads, compiles and links a component. Takes seconds for a large one that is not in the compile cache.
    ///
    /// Returns a warning as well if the cache cannot be used, which costs time only.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not a component, or is one of another world: all that is missing is named.
    pub fn load(path: &Path, limits: &Limits, grants: &Grants) -> anyhow::Result<(Self, Option<anyhow::Error>)> {
        let name = path.display();
        let octets = fs::read(path).with_context(|| format!("`{name}` cannot be read"))?;
        world::check_format(&octets).with_context(|| format!("`{name}`"))?;

        let (cache, warning) = match engine::cache_directory().map(|directory| engine::open_cache(&directory)) {
            Some(Ok(cache)) => (Some(cache), None),
            Some(Err(error)) => (None, Some(error.context("no compile cache, so that each start compiles anew"))),
            None => (None, None),
        };
        let engine = engine::build(cache)?;
        let component = Component::from_binary(&engine, &octets)
            .map_err(|error| anyhow::anyhow!("`{name}` is not a valid component: {}", error.root_cause()))?;
        let linker = link(&engine)?;
        world::check(&component, &linker, limits).with_context(|| format!("`{name}` cannot be served"))?;
        let handler = Self {
            pre: ApplicationPre::new(linker.instantiate_pre(&component)?)?,
            limits: limits.clone(),
            grants: Arc::new(grants.clone()),
            slow_lane: Arc::new(SlowLane::spawn()?),
            live: Arc::default(),
            missing_dirs_noted: Arc::default(),
            _ticker: Ticker::spawn(&engine)?,
        };
        Ok((handler, warning))
    }

    /// What one exchange may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many instances exist at the moment.
    #[must_use]
    pub fn live_instances(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Makes an instance, has it handle the exchange, and throws it away.
    ///
    /// The response has ended when the call has, one way or the other. Must be called from within a tokio runtime.
    pub fn call(&self, call: Call) -> Ongoing {
        let pre = self.pre.clone();
        let live = Live::new(&self.live);
        let deadline = Instant::now() + self.limits.timeout;
        let guest = Guest {
            id: call.id,
            request: call.request,
            peer: call.peer,
            forwarded: call.forwarded,
            content_length: call.content_length,
            is_buffered: call.is_buffered,
            timeout: self.limits.timeout,
            deadline,
            input: call.input,
            writer: call.writer,
            journal: Journal::new(call.id, call.record),
            memory: Memory::new(self.limits.memory),
            grants: Arc::clone(&self.grants),
            missing_dirs_noted: Arc::clone(&self.missing_dirs_noted),
            environ: None,
            wasi: None,
        };
        Ongoing::new(&self.slow_lane, async move {
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
            if let Some(note) = guest.writer.unsent() {
                guest.journal.say("note", note.as_bytes());
            }
            // The exception that a handler reported is told once: as the reason of a fault, or else on its own.
            if let Some(exception) = guest.writer.take_exception() {
                guest.journal.say("exception", &exception);
            }
            drop((store, live));
            result
        })
    }
}

fn link(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    sandbox::link(&mut linker)?;
    Application::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

fn new_store(engine: &Engine, guest: Guest) -> Store<Guest> {
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
    let fault = match outcome {
        Ok(Ok(())) => return guest.writer.end(),
        Ok(Err(exception)) => Fault::Exception(exception),
        Err(error) => {
            if error.is::<Overdue>() {
                return Err(Fault::TimedOut { place: place(&error) });
            }
            if error.is::<PoolConcurrencyLimitError>() {
                return Err(Fault::Busy);
            }
            match error.downcast_ref::<I32Exit>() {
                // A program's way to say that all went well.
                Some(I32Exit(0)) => return guest.writer.end(),
                Some(I32Exit(status)) => Fault::Exited(*status),
                None if guest.memory.was_refused() => return Err(Fault::OutOfMemory),
                None => Fault::Trap(explain(&error, guest)),
            }
        }
    };
    // A handler that gives up on a body which is broken is not to blame (rule I6).
    Err(guest.input.failure().map_or(fault, Fault::from))
}

/// A panic's message if there is one, else the trap in wasmtime's words and the function that it was in.
fn explain(error: &wasmtime::Error, guest: &mut Guest) -> String {
    if let Some(exception) = guest.writer.take_exception() {
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

/// Counts an instance for as long as it lives.
struct Live(Arc<AtomicUsize>);

impl Live {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
