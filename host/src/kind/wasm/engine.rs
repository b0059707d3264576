//! What all components of a process share: the compiler, the pool, the host functions of WASI, and the thread that keeps time.

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

/// How long a handler may hold a thread that others wait for.
const TICK: Duration = Duration::from_millis(2);

/// How often somebody looks after the ticker.
const WATCH: Duration = Duration::from_secs(1);

/// What all components of a process share: compiler, pool of memory, host functions, threads for handlers that compute.
pub struct Engine {
    core: ArcSwap<Core>,
    /// All cores that may have instances.
    beating: Arc<Mutex<Vec<EngineWeak>>>,
    components: Mutex<Vec<Weak<dyn Renew>>>,
    cache: Option<Cache>,
    limits: EngineLimits,
    slow_lane: Arc<SlowLane>,
    budget: Arc<Budget>,
    compiler: Option<Compiler>,
    ticker: Ticker,
}

/// What instances are made with: wasmtime's engine, which has the pool, and the functions that all worlds import.
pub(super) struct Core {
    pub(super) engine: wasmtime::Engine,
    /// Has WASI; a world adds what only it imports.
    pub(super) linker: Linker<Guest>,
}

/// A component that follows when the core is replaced.
pub(super) trait Renew: Send + Sync {
    /// Prepares it for instances that are made with `core`, in the time that it takes to find it in the cache. Calling the result
    /// has the instances of all calls to come made like this.
    fn renew(self: Arc<Self>, core: &Core) -> anyhow::Result<Box<dyn FnOnce()>>;
}

impl Core {
    fn new(engine: wasmtime::Engine) -> anyhow::Result<Self> {
        let mut linker = Linker::new(&engine);
        explain::link(&mut linker)?;
        Ok(Self { engine, linker })
    }

    /// A linker with all that components of a world import.
    pub(super) fn linker_of<W: World>(&self) -> wasmtime::Result<Linker<Guest>> {
        let mut linker = self.linker.clone();
        W::link(&mut linker)?;
        Ok(linker)
    }
}

/// What of the pool is in use; nothing if there is none.
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
    /// Whether nobody uses anything of it.
    fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

impl Engine {
    /// An engine that compiles in this process, and keeps what it compiles in the user's cache directory. Its instances get
    /// this limits.
    ///
    /// Returns a warning as well if the cache cannot be used, which costs time only.
    ///
    /// # Errors
    ///
    /// The system refuses more threads.
    pub fn new(limits: &EngineLimits) -> anyhow::Result<(Arc<Self>, Option<anyhow::Error>)> {
        let (engine, warning) = Self::make(limits, |_| None)?;
        Ok((Arc::new(engine), warning))
    }

    /// The same, except that components are compiled in a process of their own, within limits. What takes long is told.
    ///
    /// # Errors
    ///
    /// The system refuses more threads.
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
        let beating = Arc::new(Mutex::new(vec![core.engine.weak()]));
        let ticker = Ticker::spawn(TICK, {
            let beating = Arc::clone(&beating);
            move || beat(&mut lock(&beating))
        })?;
        let (slow_lane, budget) = (Arc::new(SlowLane::spawn()?), Arc::new(Budget::new(limits.memory)));
        let (core, components, limits) = (ArcSwap::from_pointee(core), Mutex::default(), limits.clone());
        Ok((Self { core, beating, components, cache, limits, slow_lane, budget, compiler, ticker }, warning))
    }

    /// What instances are made with now.
    pub(super) fn core(&self) -> Arc<Core> {
        self.core.load_full()
    }

    /// Has a component follow when the core is replaced.
    pub(super) fn enrol(&self, component: Weak<dyn Renew>) {
        let mut components = lock(&self.components);
        components.retain(|component| component.strong_count() > 0);
        components.push(component);
    }

    /// Replaces the core, and with it the pool, by a new one. What the old one keeps for instances to come goes back to the
    /// system when its last instance has ended. Takes as long as loading all components from the cache does.
    ///
    /// # Errors
    ///
    /// There is no room for a second pool. All is as it was then.
    pub(super) fn renew(&self) -> anyhow::Result<()> {
        let pool = InstanceAllocationStrategy::Pooling(settings::pool(self.limits.instances));
        let core = Core::new(settings::build(self.cache.clone(), &self.limits, pool)?)?;
        let components: Vec<_> = lock(&self.components).iter().filter_map(Weak::upgrade).collect();
        let renewed: Vec<_> =
            components.into_iter().map(|component| component.renew(&core)).collect::<anyhow::Result<_>>()?;
        lock(&self.beating).push(core.engine.weak());
        self.core.store(Arc::new(core));
        renewed.into_iter().for_each(|switch| switch());
        Ok(())
    }

    /// Looks after the engine for as long as it is there: after the ticker, without which no handler would ever be interrupted,
    /// and after memory that nobody needs any more.
    pub fn watch(self: &Arc<Self>, events: Arc<Events>) -> impl Future<Output = ()> + Send + use<> {
        let engine = Arc::downgrade(self);
        async move {
            let (mut footprint, mut not_before) = (Footprint::now(), Instant::now());
            loop {
                tokio::time::sleep(WATCH).await;
                // When the whole process was stopped, the ticker is late through no fault of its own, and not for long.
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
                        // If there is no room for a second pool, there is only more memory in use than need be.
                        _ = engine.renew();
                        footprint::trim();
                    });
                    _ = given_back.await;
                    footprint = Footprint::now();
                    // What comes between two storms may take as much again at once: a hundredth of the time is enough for it.
                    not_before = Instant::now() + 100 * begun.elapsed();
                }
            }
        }
    }

    /// Makes sure that a component can be compiled within limits, if there are any.
    ///
    /// # Errors
    ///
    /// It cannot, or it is no component.
    pub(super) fn check_compiles(&self, name: &str, octets: &[u8]) -> anyhow::Result<()> {
        self.compiler.as_ref().map_or(Ok(()), |compiler| compiler.check(name, octets))
    }

    /// How what an instance has written is kept from the next one, in words.
    #[must_use]
    pub fn wiping(&self) -> &'static str {
        if self.core.load().engine.pooling_allocator_metrics().is_some() {
            "instances come out of a pool: their memory goes back to the system when they end, and their tables are wiped"
        } else {
            "there is no address space for a pool: each instance has memory and tables of its own, which go when it ends"
        }
    }

    /// What of the pool is in use.
    #[must_use]
    pub fn pool(&self) -> Pool {
        self.core.load().engine.pooling_allocator_metrics().map_or_else(Pool::default, |metrics| Pool {
            instances: metrics.component_instances(),
            memories: metrics.memories() as u64,
            tables: metrics.tables() as u64,
            stacks: metrics.stacks() as u64,
        })
    }

    /// What all instances may use together.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Where handlers go that compute for long.
    pub(super) fn slow_lane(&self) -> &Arc<SlowLane> {
        &self.slow_lane
    }
}

/// Ends a tick of all engines; `None` if there are none left.
fn beat(engines: &mut Vec<EngineWeak>) -> Option<()> {
    engines.retain(|engine| engine.upgrade().map(|engine| engine.increment_epoch()).is_some());
    (!engines.is_empty()).then_some(())
}
