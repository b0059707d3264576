//! What instances are made from: wasmtime's engine with its pool, and its replacement by a new one.

use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwap;
use wasmtime::{Cache, EngineWeak, InstanceAllocationStrategy, component::Linker};

use super::{
    explain,
    guest::Guest,
    settings::{self, Abi, Memories},
    world::World,
};
use crate::base::{limits::EngineLimits, lock::lock};

/// What creates instances: wasmtime's engine, which owns the pool, and the functions that all worlds import.
pub(super) struct Core {
    pub(super) engine: wasmtime::Engine,
    /// Contains WASI 0.2. Each world adds its own imports.
    linker: Linker<Guest>,
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

    /// How much of the pool is in use.
    pub(super) fn pool(&self) -> Pool {
        self.engine.pooling_allocator_metrics().map_or_else(Pool::default, |metrics| Pool {
            instances: metrics.component_instances(),
            memories: metrics.memories() as u64,
            tables: metrics.tables() as u64,
            stacks: metrics.stacks() as u64,
        })
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
    pub(super) fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    /// How much of both pools is in use.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            instances: self.instances + other.instances,
            memories: self.memories + other.memories,
            tables: self.tables + other.tables,
            stacks: self.stacks + other.stacks,
        }
    }
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

/// The core for all components of one ABI whose memories come from one place, which can be replaced while they serve.
pub(super) struct Cores {
    abi: Abi,
    memories: Memories,
    current: ArcSwap<Core>,
    components: Mutex<Vec<Weak<dyn Renew>>>,
}

impl Cores {
    /// Creates the first core, with a pool if there is enough address space for one.
    ///
    /// # Errors
    ///
    /// Never in practice, because the settings do not depend on user input.
    pub(super) fn new(
        abi: Abi,
        memories: Memories,
        cache: Option<Cache>,
        limits: &EngineLimits,
    ) -> anyhow::Result<Self> {
        let engine = match memories {
            Memories::Pool => settings::with_pool(abi, cache, limits)?,
            Memories::Images => settings::with_images(abi, cache, limits)?,
        };
        Ok(Self { abi, memories, current: ArcSwap::from_pointee(Core::new(engine)?), components: Mutex::default() })
    }

    /// The current core.
    pub(super) fn current(&self) -> Arc<Core> {
        self.current.load_full()
    }

    /// Registers a component that must switch when the core is replaced.
    pub(super) fn register(&self, component: Weak<dyn Renew>) {
        let mut components = lock(&self.components);
        components.retain(|component| component.strong_count() > 0);
        components.push(component);
    }

    /// Replaces the core, including the pool, and adds its engine to those that tick. The memory that the old pool keeps
    /// goes back to the system when its last instance has ended. Blocks while all components are loaded from the cache.
    ///
    /// # Errors
    ///
    /// There is not enough address space for another pool. Nothing has changed then.
    pub(super) fn renew(
        &self,
        cache: Option<Cache>,
        limits: &EngineLimits,
        ticking: &Mutex<Vec<EngineWeak>>,
    ) -> anyhow::Result<()> {
        let engine = match self.memories {
            Memories::Pool => {
                let pool = InstanceAllocationStrategy::Pooling(settings::pool(limits.instances));
                settings::build(self.abi, cache, limits, pool)?
            }
            Memories::Images => settings::with_images(self.abi, cache, limits)?,
        };
        let core = Core::new(engine)?;
        let components: Vec<_> = lock(&self.components).iter().filter_map(Weak::upgrade).collect();
        let renewed: Vec<_> =
            components.into_iter().map(|component| component.renew(&core)).collect::<anyhow::Result<_>>()?;
        lock(ticking).push(core.engine.weak());
        self.current.store(Arc::new(core));
        renewed.into_iter().for_each(|switch| switch());
        Ok(())
    }
}
