//! Handlers made from a component of any world.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::Read as _,
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use tokio::time::timeout_at;

use super::{
    check,
    cores::{Core, Renew},
    engine::Engine,
    guest::Guest,
    guest_log::{GuestLog, Notes},
    memory::Memory,
    outcome,
    store::new_store,
    world::World,
};
use crate::{
    admission::Slot,
    base::{
        grants::{Allowance, Grants},
        limits::Limits,
    },
    event::Stream,
    fault::{Fault, Limit},
    handler::{Call, Handler, lanes::CallFuture},
};

/// The default of `--max-component`, in bytes.
pub(crate) const SIZE_MAX: u64 = 64 << 20;

/// A component that is ready to handle exchanges.
pub(super) struct Component<W: World> {
    engine: Arc<Engine>,
    /// Makes `pre` anew when the core is replaced.
    make: Make<W>,
    pre: ArcSwap<W::Pre>,
    allowance: Arc<Allowance>,
    notes: Arc<Notes>,
}

/// Makes what instances of a component are made from, for a core. Blocks while that is loaded from the cache.
pub(super) type Make<W> = Box<dyn Fn(&Core) -> anyhow::Result<<W as World>::Pre> + Send + Sync>;

/// Reads a component's file.
///
/// # Errors
///
/// The file cannot be read, or is larger than `size` bytes.
pub(crate) fn read(path: &Path, size: u64) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    if let Ok(metadata) = fs::metadata(path)
        && metadata.len() > size
    {
        bail!("`{name}` has {} bytes; --max-component allows {size}", metadata.len());
    }
    let mut bytes = Vec::new();
    // A device or a pipe has no length, and may never end.
    let read = File::open(path).and_then(|file| file.take(size.saturating_add(1)).read_to_end(&mut bytes));
    read.with_context(|| format!("`{name}` cannot be read"))?;
    if bytes.len() as u64 > size {
        bail!("`{name}` has more than {size} bytes, which is what --max-component allows");
    }
    Ok(bytes)
}

impl<W: World> Component<W> {
    /// Compiles and links a component. `name` is used in messages. Blocks while compiling.
    ///
    /// # Errors
    ///
    /// The bytes are not a component, or the component is not of this world.
    pub(super) fn new(
        engine: &Arc<Engine>,
        name: &Path,
        bytes: Cow<'static, [u8]>,
        limits: &Limits,
        grants: &Grants,
    ) -> anyhow::Result<Arc<Self>> {
        let core = engine.cores(W::ABI, W::MEMORIES)?.current();
        let component = compile::<W>(engine, &core, &name.display().to_string(), &bytes)?;
        let linker = core.linker_of::<W>()?;
        check::check::<W>(&component, &linker, limits)
            .with_context(|| format!("`{}` cannot be served", name.display()))?;
        let path = name.to_owned();
        let make = move |core: &Core| {
            let component = wasmtime::component::Component::from_binary(&core.engine, &bytes)?;
            Ok(W::prepare(core.linker_of::<W>()?.instantiate_pre(&component)?, &path)?)
        };
        Self::made(engine, Box::new(make), limits, grants)
    }

    /// A component that is made by this function.
    ///
    /// # Errors
    ///
    /// The function fails.
    pub(super) fn made(
        engine: &Arc<Engine>,
        make: Make<W>,
        limits: &Limits,
        grants: &Grants,
    ) -> anyhow::Result<Arc<Self>> {
        let cores = engine.cores(W::ABI, W::MEMORIES)?;
        let pre = ArcSwap::from_pointee(make(&cores.current())?);
        let component = Arc::new(Self {
            engine: Arc::clone(engine),
            make,
            pre,
            allowance: Arc::new(Allowance::new(limits, grants)),
            notes: Arc::default(),
        });
        let weak = Arc::downgrade(&component);
        cores.register(weak);
        Ok(component)
    }
}

impl<W: World> Renew for Component<W> {
    fn renew(self: Arc<Self>, core: &Core) -> anyhow::Result<Box<dyn FnOnce()>> {
        let pre = (self.make)(core)?;
        Ok(Box::new(move || self.pre.store(Arc::new(pre))))
    }
}

impl<W: World> Handler for Arc<Component<W>> {
    fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    fn measures(&self) -> u64 {
        W::MEASURES
    }

    fn call(&self, call: Call, slot: Slot) -> CallFuture {
        let pre = self.pre.load_full();
        let stats = Arc::clone(slot.stats());
        let deadline = stats.began + call.allowance.limits.timeout;
        let limits = &call.allowance.limits;
        let guest = Guest {
            deadline,
            guest_log: GuestLog::new(
                call.exchange.id,
                call.exchange.recording.clone(),
                Arc::clone(&call.events),
                Arc::clone(&self.notes),
                limits,
            ),
            memory: Memory::new(limits.memory, limits.layers, self.engine.budget(), &stats),
            has_noted_path: false,
            wasi: None,
            python: None,
            stats,
            call,
        };
        // Created here, so that the future holds the guest only once, in the store.
        let mut store = new_store(W::engine(&pre), guest);
        CallFuture::new(Some(self.engine.slow_lane()), slot, async move {
            let result = match timeout_at(deadline.into(), W::answer(&pre, &mut store)).await {
                Ok(returned) => outcome::conclude(returned, &mut store),
                // It waits for something that does not record waits.
                Err(_) => Err(Fault::TimedOut { limit: Limit::Wall, wait: None, stack: outcome::stack(&store) }),
            };
            let guest = store.data_mut();
            let unsent = guest.call.writer.unsent();
            if let Some(note) = unsent.body {
                guest.guest_log.write(Stream::Note, note.as_bytes());
            }
            for note in unsent.trailers {
                guest.guest_log.note(&note);
            }
            // A reported exception is logged once: as the reason of a fault, or here if there is no fault.
            if let Some(exception) = guest.call.writer.take_exception() {
                guest.guest_log.write(Stream::Exception, &exception);
            }
            result
        })
    }
}

/// Compiles a component of a world, first in a child process if the engine is set up to do so.
///
/// # Errors
///
/// The bytes are not a component, or compiling exceeds a limit.
pub(super) fn compile<W: World>(
    engine: &Engine,
    core: &Core,
    name: &str,
    bytes: &[u8],
) -> anyhow::Result<wasmtime::component::Component> {
    let checked = check::check_format(bytes).and_then(|()| engine.check_compiles(W::ABI, name, bytes));
    checked.map_err(|error| anyhow!("`{name}` {error:#}"))?;
    wasmtime::component::Component::from_binary(&core.engine, bytes)
        .map_err(|error| anyhow!("`{name}` is not a valid component: {}", error.root_cause()))
}
