//! What all components of a process share: compiler, pool, WASI's host functions and the ticker.

use std::{
    future::Future,
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use wasmtime::{Cache, EngineWeak, InstanceAllocationStrategy, component::Linker};

use super::{
    cache,
    compile::{CompileOptions, Compiler},
    explain,
    footprint::{self, Footprint},
    guest::Guest,
    memory::Budget,
    settings,
    ticker::Ticker,
    world::World,
};
use crate::{
    base::{limits::EngineLimits, lock::lock},
    event::{Events, notice::Level},
    handler::lanes::SlowLane,
};

/// The interval at which handlers that compute are interrupted.
const TICK: Duration = Duration::from_millis(2);

/// How often the ticker and the pool are checked.
const WATCH: Duration = Duration::from_secs(1);

/// What all components of a process share: compiler, memory pool, host functions and the threads of the slow lane.
pub struct Engine {
    core: ArcSwap<Core>,
    /// All engines that may have instances: the current one, and replaced ones until their last instance has ended.
    ticking: Arc<Mutex<Vec<EngineWeak>>>,
    components: Mutex<Vec<Weak<dyn Renew>>>,
    cache: Option<Cache>,
    limits: EngineLimits,
    slow_lane: Arc<SlowLane>,
    budget: Arc<Budget>,
    compiler: Option<Compiler>,
    ticker: Ticker,
}

/// What creates instances: wasmtime's engine, which owns the pool, and the functions that all worlds import.
pub(super) struct Core {
    pub(super) engine: wasmtime::Engine,
    /// Contains WASI. Each world adds its own imports.
    pub(super) linker: Linker<Guest>,
}

/// A component that switches to the new core when the core is replaced.
pub(super) trait Renew: Send + Sync {
    /// Prepares the component for `core`, in the time that loading it from the cache takes. Calling the returned
    /// closure makes all later calls use `core`.
    ///
    /// # Errors
    ///
    /// The component cannot be loaded or linked.
    fn renew(self: Arc<Self>, core: &Core) -> anyhow::Result<Box<dyn FnOnce()>>;
}

impl Core {
    fn new(engine: wasmtime::Engine) -> anyhow::Result<Self> {
        let mut linker = Linker::new(&engine);
        explain::link(&mut linker)?;
        Ok(Self { engine, linker })
    }

    /// A linker with all imports that components of a world may have.
    pub(super) fn linker_of<W: World>(&self) -> wasmtime::Result<Linker<Guest>> {
        let mut linker = self.linker.clone();
        W::link(&mut linker)?;
        Ok(linker)
    }
}

/// How much of the pool is in use; all zero if there is no pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Component instances.
    pub instances: u64,
    /// Memories.
    pub memories: u64,
    /// Tables.
    pub tables: u64,
    /// Stacks.
    pub stacks: u64,
}

impl Pool {
    /// Whether nothing is in use.
    fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

impl Engine {
    /// Creates an engine with these limits, which compiles in this process and keeps compiled code in the user's cache
    /// directory.
    ///
    /// Also returns a warning if the cache cannot be used. Without a cache, every start compiles again.
    ///
    /// # Errors
    ///
    /// The system cannot create more threads.
    pub fn new(limits: &EngineLimits) -> anyhow::Result<(Arc<Self>, Option<anyhow::Error>)> {
        let (engine, warning) = Self::make(limits, |_| None)?;
        Ok((Arc::new(engine), warning))
    }

    /// Like [`new`](Self::new), but compiles components in a child process, within limits. Emits a notice when that
    /// takes long.
    ///
    /// # Errors
    ///
    /// The system cannot create more threads.
    pub fn with_compiler(
        limits: &EngineLimits,
        compile: CompileOptions,
        events: Arc<Events>,
    ) -> anyhow::Result<(Arc<Self>, Option<anyhow::Error>)> {
        let (engine, warning) = Self::make(limits, |engine| Some(Compiler::new(compile, engine, events)))?;
        Ok((Arc::new(engine), warning))
    }

    fn make(
        limits: &EngineLimits,
        compiler: impl FnOnce(&wasmtime::Engine) -> Option<Compiler>,
    ) -> anyhow::Result<(Self, Option<anyhow::Error>)> {
        let (cache, warning) = cache::open();
        let core = Core::new(settings::with_pool(cache.clone(), limits)?)?;
        let compiler = compiler(&core.engine);
        let ticking = Arc::new(Mutex::new(vec![core.engine.weak()]));
        let ticker = Ticker::spawn(TICK, {
            let ticking = Arc::clone(&ticking);
            move || end_tick(&mut lock(&ticking))
        })?;
        let (slow_lane, budget) = (Arc::new(SlowLane::spawn()?), Arc::new(Budget::new(limits.memory)));
        let (core, components, limits) = (ArcSwap::from_pointee(core), Mutex::default(), limits.clone());
        Ok((Self { core, ticking, components, cache, limits, slow_lane, budget, compiler, ticker }, warning))
    }

    /// The current core.
    pub(super) fn core(&self) -> Arc<Core> {
        self.core.load_full()
    }

    /// Registers a component that must switch when the core is replaced.
    pub(super) fn register(&self, component: Weak<dyn Renew>) {
        let mut components = lock(&self.components);
        components.retain(|component| component.strong_count() > 0);
        components.push(component);
    }

    /// Replaces the core, including the pool. The memory that the old pool keeps goes back to the system when its last
    /// instance has ended. Blocks while all components are loaded from the cache.
    ///
    /// # Errors
    ///
    /// There is not enough address space for a second pool. Nothing has changed then.
    pub(super) fn renew(&self) -> anyhow::Result<()> {
        let pool = InstanceAllocationStrategy::Pooling(settings::pool(self.limits.instances));
        let core = Core::new(settings::build(self.cache.clone(), &self.limits, pool)?)?;
        let components: Vec<_> = lock(&self.components).iter().filter_map(Weak::upgrade).collect();
        let renewed: Vec<_> =
            components.into_iter().map(|component| component.renew(&core)).collect::<anyhow::Result<_>>()?;
        lock(&self.ticking).push(core.engine.weak());
        self.core.store(Arc::new(core));
        renewed.into_iter().for_each(|switch| switch());
        Ok(())
    }

    /// Maintains the engine for as long as it exists: replaces a stalled ticker, without which no handler would ever be
    /// interrupted, and gives unused memory back to the system.
    pub fn watch(self: &Arc<Self>, events: Arc<Events>) -> impl Future<Output = ()> + Send + use<> {
        let engine = Arc::downgrade(self);
        async move {
            let (mut footprint, mut not_before) = (Footprint::now(), Instant::now());
            loop {
                tokio::time::sleep(WATCH).await;
                // If the whole process was stopped, the ticker is late too, but catches up soon.
                if Weak::upgrade(&engine).is_some_and(|engine| engine.ticker.lateness(Instant::now()).is_some()) {
                    tokio::time::sleep(50 * TICK).await;
                }
                let Some(engine) = Weak::upgrade(&engine) else { break };
                if let Some(late) = engine.ticker.lateness(Instant::now()) {
                    events.notice(Level::Error, engine.ticker.replace(late));
                }
                if engine.pool().is_idle() && Instant::now() >= not_before && footprint.has_grown() {
                    let begun = Instant::now();
                    let given_back = tokio::task::spawn_blocking(move || {
                        // Without address space for a second pool, memory use merely stays higher than necessary.
                        _ = engine.renew();
                        footprint::trim();
                    });
                    _ = given_back.await;
                    footprint = Footprint::now();
                    // The next burst may need the same memory at once, so this takes at most a hundredth of the time.
                    not_before = Instant::now() + 100 * begun.elapsed();
                }
            }
        }
    }

    /// Checks that a component compiles within the limits, if this engine has any. Blocks while compiling.
    ///
    /// # Errors
    ///
    /// It does not, or the bytes are not a component.
    pub(super) fn check_compiles(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.compiler.as_ref().map_or(Ok(()), |compiler| compiler.check(name, bytes))
    }

    /// A description, for the log, of how an instance's data is kept from the next one.
    #[must_use]
    pub fn wiping(&self) -> &'static str {
        if self.core.load().engine.pooling_allocator_metrics().is_some() {
            "instances come from a pool: their memory goes back to the system when they end, and their tables are wiped"
        } else {
            "no address space for a pool: each instance allocates its own memory and tables and frees them when it ends"
        }
    }

    /// How much of the pool is in use.
    #[must_use]
    pub fn pool(&self) -> Pool {
        self.core.load().engine.pooling_allocator_metrics().map_or_else(Pool::default, |metrics| Pool {
            instances: metrics.component_instances(),
            memories: metrics.memories() as u64,
            tables: metrics.tables() as u64,
            stacks: metrics.stacks() as u64,
        })
    }

    /// The memory that all instances may use together.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The threads for handlers that compute for long.
    pub(super) fn slow_lane(&self) -> &Arc<SlowLane> {
        &self.slow_lane
    }
}

/// Ends a tick of all engines. Returns `None` if none is left.
fn end_tick(engines: &mut Vec<EngineWeak>) -> Option<()> {
    engines.retain(|engine| engine.upgrade().map(|engine| engine.increment_epoch()).is_some());
    (!engines.is_empty()).then_some(())
}
