//! What all components of a process share: the one place that builds wasmtime's engine, and the thread that keeps its time.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use wasmtime::{
    Cache, Config, Enabled, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
    component::Linker,
};

use super::{
    cache,
    compile::Compiler,
    component::Component,
    host::{self, Guest},
    lanes::SlowLane,
    renewal::{self, Footprint},
    sandbox::{self, Budget},
    ticker::Ticker,
};
use crate::{
    config::{Compile, Room},
    record::{Event, Record},
};

/// How many instances may live at the same time at most. Linux gives a process 65,530 mappings by default
/// (`vm.max_map_count`), of which each instance takes six.
pub const INSTANCES_MAX: usize = 10_000;

/// What handlers made by real toolchains need of one instance: componentize-py links 14 core modules, for example.
const CORE_INSTANCES_PER_COMPONENT: u32 = 20;
pub(super) const MEMORIES_PER_COMPONENT: u32 = 8;
pub(super) const TABLES_PER_COMPONENT: u32 = 32;
/// For components with more than one.
const SPARE_MEMORIES: u32 = 1000;
const TABLE_ELEMENTS: usize = 20_000;

/// How many memories stay mapped for their components on each core.
const WARM_SLOTS_PER_CORE: u32 = 256;

/// How much of a stack host functions have for themselves.
const HOST_STACK: usize = 2 << 20;

/// How long a handler may hold a thread that others wait for.
const TICK: Duration = Duration::from_millis(2);

/// How often somebody looks after the ticker.
const WATCH: Duration = Duration::from_secs(1);

/// What all components of a process share: compiler, pool of memory, host functions, threads for handlers that compute.
pub struct Engine {
    core: ArcSwap<Core>,
    /// All cores that may have instances.
    beating: Arc<Mutex<Vec<EngineWeak>>>,
    components: Mutex<Vec<Weak<Component>>>,
    cache: Option<Cache>,
    room: Room,
    slow_lane: Arc<SlowLane>,
    budget: Arc<Budget>,
    compiler: Option<Compiler>,
    ticker: Ticker,
}

/// What instances are made with: wasmtime's engine, which has the pool, and the functions of the host.
pub(super) struct Core {
    pub(super) engine: wasmtime::Engine,
    pub(super) linker: Linker<Guest>,
}

impl Core {
    fn new(engine: wasmtime::Engine) -> anyhow::Result<Self> {
        let mut linker = Linker::new(&engine);
        sandbox::link(&mut linker)?;
        host::link(&mut linker)?;
        Ok(Self { engine, linker })
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
    /// this room.
    ///
    /// Returns a warning as well if the cache cannot be used, which costs time only.
    ///
    /// # Errors
    ///
    /// The system refuses more threads.
    pub fn new(room: &Room) -> anyhow::Result<(Arc<Self>, Option<anyhow::Error>)> {
        let (engine, warning) = Self::make(room, |_| None)?;
        Ok((Arc::new(engine), warning))
    }

    /// The same, except that components are compiled in a process of their own, within limits. What takes long is told.
    ///
    /// # Errors
    ///
    /// The system refuses more threads.
    pub fn with_compiler(
        room: &Room,
        compile: Compile,
        record: Record,
    ) -> anyhow::Result<(Arc<Self>, Option<anyhow::Error>)> {
        let (engine, warning) = Self::make(room, |engine| Some(Compiler::new(compile, engine, record)))?;
        Ok((Arc::new(engine), warning))
    }

    fn make(
        room: &Room,
        compiler: impl FnOnce(&wasmtime::Engine) -> Option<Compiler>,
    ) -> anyhow::Result<(Self, Option<anyhow::Error>)> {
        let (cache, warning) = cache::open();
        let core = Core::new(with_pool(cache.clone(), room)?)?;
        let compiler = compiler(&core.engine);
        let beating = Arc::new(Mutex::new(vec![core.engine.weak()]));
        let ticker = Ticker::spawn(TICK, {
            let beating = Arc::clone(&beating);
            move || beat(&mut lock(&beating))
        })?;
        let (slow_lane, budget) = (Arc::new(SlowLane::spawn()?), Arc::new(Budget::new(room.memory)));
        let (core, components, room) = (ArcSwap::from_pointee(core), Mutex::default(), room.clone());
        Ok((Self { core, beating, components, cache, room, slow_lane, budget, compiler, ticker }, warning))
    }

    /// What instances are made with now.
    pub(super) fn core(&self) -> Arc<Core> {
        self.core.load_full()
    }

    /// Has a component follow when the core is replaced.
    pub(super) fn enrol(&self, component: &Arc<Component>) {
        let mut components = lock(&self.components);
        components.retain(|component| component.strong_count() > 0);
        components.push(Arc::downgrade(component));
    }

    /// Replaces the core, and with it the pool, by a new one. What the old one keeps for instances to come goes back to the
    /// system when its last instance has ended. Takes as long as loading all components from the cache does.
    ///
    /// # Errors
    ///
    /// There is no room for a second pool. All is as it was then.
    pub(super) fn renew(&self) -> anyhow::Result<()> {
        let pool = InstanceAllocationStrategy::Pooling(pool(self.room.instances));
        let core = Core::new(build(self.cache.clone(), &self.room, pool)?)?;
        let components: Vec<_> = lock(&self.components).iter().filter_map(Weak::upgrade).collect();
        let renewed: Vec<_> =
            components.iter().map(|component| component.prepare(&core)).collect::<anyhow::Result<_>>()?;
        lock(&self.beating).push(core.engine.weak());
        self.core.store(Arc::new(core));
        for (component, pre) in components.iter().zip(renewed) {
            component.renew(pre);
        }
        Ok(())
    }

    /// Looks after the engine for as long as it is there: after the ticker, without which no handler would ever be interrupted,
    /// and after memory that nobody needs any more.
    pub fn watch(self: &Arc<Self>, record: Record) -> impl Future<Output = ()> + Send + use<> {
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
                    record.tell(Event::Server { line: engine.ticker.replace(late) });
                }
                if engine.pool().is_idle() && Instant::now() >= not_before && footprint.has_grown() {
                    let begun = Instant::now();
                    let given_back = tokio::task::spawn_blocking(move || {
                        // If there is no room for a second pool, there is only more memory in use than need be.
                        _ = engine.renew();
                        renewal::trim();
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

/// What is in here is whole at every point, so a poisoned lock means nothing.
fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An engine that runs instances. `cache` is where compiled components are kept.
///
/// # Errors
///
/// wasmtime's own checks of the settings, which do not depend on what the user gave.
fn with_pool(cache: Option<Cache>, room: &Room) -> anyhow::Result<wasmtime::Engine> {
    match build(cache.clone(), room, InstanceAllocationStrategy::Pooling(pool(room.instances))) {
        Ok(engine) => Ok(engine),
        // The pool reserves terabytes of addresses, which `ulimit -v` and some virtual machines refuse.
        Err(_) => without_pool(cache, room),
    }
}

/// An engine that compiles the same code as [`with_pool`], so that both share a cache, and reserves nothing for instances.
///
/// # Errors
///
/// As for [`with_pool`].
pub(super) fn without_pool(cache: Option<Cache>, room: &Room) -> anyhow::Result<wasmtime::Engine> {
    build(cache, room, InstanceAllocationStrategy::OnDemand)
}

fn build(cache: Option<Cache>, room: &Room, instances: InstanceAllocationStrategy) -> anyhow::Result<wasmtime::Engine> {
    let mut config = Config::new();

    // Handlers that compute are interrupted at the next tick; fuel would cost two to three times as much.
    config.epoch_interruption(true);
    // What is left of the larger one is for host functions, which must never run out of it: that would end the process.
    config.max_wasm_stack(room.stack).async_stack_size(room.stack + HOST_STACK);

    // Each proposal is a way in. These are on by default, and no toolchain for our world needs them; component-model-async
    // is not even compiled in.
    config.gc_support(false).wasm_gc(false).wasm_function_references(false).wasm_exceptions(false);
    // The limiter is not asked about shared memories.
    config.wasm_threads(false).shared_memory(false);
    config.wasm_memory64(false).wasm_stack_switching(false);

    let details = if room.lines { WasmBacktraceDetails::Enable } else { WasmBacktraceDetails::Disable };
    config.wasm_backtrace_details(details);
    // A panic alone has a dozen of its library's.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(100));
    config.cache(cache);

    config.allocation_strategy(instances);
    Ok(wasmtime::Engine::new(&config)?)
}

/// Instances come out of a pool: the same addresses again and again, wiped by the kernel (memories) or by hand (tables).
fn pool(instances: usize) -> PoolingAllocationConfig {
    let instances = u32::try_from(instances).unwrap_or(u32::MAX);
    let cores = thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        // Nearly every component has one memory and a few tables. The totals are address space, not memory, but there is an
        // end to that as well.
        .total_memories(instances.saturating_add(SPARE_MEMORIES))
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_memories_per_module(2)
        // What an instance may use is for the limiter to say, in the user's words.
        .max_memory_size(usize::try_from(4_u64 << 30).unwrap_or(usize::MAX))
        .total_tables(instances.saturating_mul(4))
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        // Not before wasmtime 50.0.1. Up to there the scan asks the kernel for pages that are written *and present*, so what is
        // not present when an instance ends is neither wiped nor given back, and the next instance reads it: what is in swap,
        // and what compaction is moving at that moment, on machines without swap too and in memory that is locked
        // (`siege isolation` does both; https://github.com/bytecodealliance/wasmtime/pull/14357). No machine can be told from
        // here to do neither, so there is no condition under which this may be on.
        .pagemap_scan(Enabled::No)
        // Without the scan wasmtime wipes the first so many bytes by hand, written or not, and gives the rest back. What comes
        // first in a memory of Rust's is the end of its stack, which hardly any handler reaches: all of it goes back.
        .linear_memory_keep_resident(0)
        // Most tables are a page, and giving two of them back would cost a hello 7 µs more (docs/speed.md).
        .table_keep_resident(64 << 10)
        // Memory that is still mapped for its component is cheaper by half. wasmtime divides these among the cores, since a
        // thread prefers slots that it has used before: two hundred components have one each on every core. What is kept in
        // all of them is given back when the server is idle (`renewal`).
        .max_unused_warm_slots(WARM_SLOTS_PER_CORE.saturating_mul(cores));
    pool
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;

    use super::*;

    #[test]
    fn the_kernel_is_not_asked_which_pages_were_written() {
        // Whoever wants this to be otherwise has to read the comment in `pool` first.
        assert_eq!(pool(1).get_pagemap_scan(), Enabled::No);
    }

    #[test]
    fn what_is_compiled_without_the_pool_is_found_in_the_cache_by_an_engine_with_it() {
        let place = std::env::temp_dir().join(format!("wasmserve-engine-{}", std::process::id()));
        let cache = || cache::open_at(&place).expect("a temporary directory is writable");
        let (of_child, of_parent) = (cache(), cache());
        let child = without_pool(Some(of_child.clone()), &Room::DEFAULT).expect("the settings are sound");
        let parent = with_pool(Some(of_parent.clone()), &Room { stack: 2 << 20, ..Room::DEFAULT })
            .expect("the settings are sound");
        let empty = b"\0asm\x0d\0\x01\0";
        for engine in [&child, &parent] {
            Component::from_binary(engine, empty).expect("it is a component");
        }
        assert_eq!((of_child.cache_hits(), of_child.cache_misses()), (0, 1));
        assert_eq!((of_parent.cache_hits(), of_parent.cache_misses()), (1, 0));
        // wasmtime may still be writing down how often an entry was used.
        _ = std::fs::remove_dir_all(place);
    }
}
