//! What all components of a process share: compiler, cores, threads and the ticker.

use std::{
    future::Future,
    sync::{Arc, Mutex, Once, OnceLock},
    time::{Duration, Instant},
};

use wasmtime::{Cache, EngineWeak};

use super::{
    cache,
    compile::{CompileOptions, Compiler},
    cores::{Cores, Pool},
    footprint::{self, Footprint},
    memory::Budget,
    settings::{Abi, Memories},
    ticker::Ticker,
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

/// What all components of a process share: compiler, memory pools, host functions and the threads of the slow lane.
pub struct Engine {
    sync: Cores,
    /// Created for the first component that needs it.
    concurrent: OnceLock<Cores>,
    /// Created for the first component with an image.
    imaged: OnceLock<Cores>,
    /// All engines that may have instances: the current ones, and replaced ones until their last instance has ended.
    ticking: Arc<Mutex<Vec<EngineWeak>>>,
    cache: Option<Cache>,
    limits: EngineLimits,
    slow_lane: Arc<SlowLane>,
    budget: Arc<Budget>,
    compiler: Option<Compiler>,
    ticker: Ticker,
    /// Receives notices, if there are any.
    events: Option<Arc<Events>>,
    /// Whether a notice has said that something is experimental.
    has_warned: Once,
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
        let (engine, warning) = Self::make(limits, None, None)?;
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
        let (engine, warning) = Self::make(limits, Some(Compiler::new(compile, Arc::clone(&events))), Some(events))?;
        Ok((Arc::new(engine), warning))
    }

    fn make(
        limits: &EngineLimits,
        compiler: Option<Compiler>,
        events: Option<Arc<Events>>,
    ) -> anyhow::Result<(Self, Option<anyhow::Error>)> {
        let (cache, warning) = cache::open();
        let sync = Cores::new(Abi::Sync, Memories::Pool, cache.clone(), limits)?;
        let ticking = Arc::new(Mutex::new(vec![sync.current().engine.weak()]));
        let ticker = Ticker::spawn(TICK, {
            let ticking = Arc::clone(&ticking);
            move || end_tick(&mut lock(&ticking))
        })?;
        let (slow_lane, budget) = (Arc::new(SlowLane::spawn()?), Arc::new(Budget::new(limits.memory)));
        let engine = Self {
            sync,
            concurrent: OnceLock::new(),
            imaged: OnceLock::new(),
            ticking,
            cache,
            limits: limits.clone(),
            slow_lane,
            budget,
            compiler,
            ticker,
            events,
            has_warned: Once::new(),
        };
        Ok((engine, warning))
    }

    /// What instances of components of this ABI are made from, whose memories come from this place. Blocks while it
    /// is created.
    ///
    /// # Errors
    ///
    /// Never in practice, because the result does not depend on user input.
    pub(super) fn cores(&self, abi: Abi, memories: Memories) -> anyhow::Result<&Cores> {
        let cores = match (abi, memories) {
            (Abi::Sync, Memories::Pool) => return Ok(&self.sync),
            (Abi::Async, _) => &self.concurrent,
            (Abi::Sync, Memories::Images) => &self.imaged,
        };
        if let Some(cores) = cores.get() {
            return Ok(cores);
        }
        let new = Cores::new(abi, memories, self.cache.clone(), &self.limits)?;
        // Another thread may be faster. Then these are dropped, and so is their engine, which ticks in vain.
        lock(&self.ticking).push(new.current().engine.weak());
        Ok(cores.get_or_init(|| new))
    }

    /// Who receives notices, if there is one.
    pub(super) fn events(&self) -> Option<&Arc<Events>> {
        self.events.as_ref()
    }

    /// Emits a notice, if there is a receiver.
    pub(super) fn notice(&self, level: Level, text: impl Into<String>) {
        if let Some(events) = &self.events {
            events.notice(level, text);
        }
    }

    /// Emits a notice that what is served now is experimental, the first time that this is called.
    pub(super) fn warn(&self, what: &str) {
        self.has_warned.call_once(|| self.notice(Level::Warning, what));
    }

    /// All cores that have been created.
    fn all(&self) -> impl Iterator<Item = &Cores> {
        [Some(&self.sync), self.concurrent.get(), self.imaged.get()].into_iter().flatten()
    }

    /// Replaces all cores, including their pools. Blocks while all components are loaded from the cache.
    ///
    /// # Errors
    ///
    /// There is not enough address space for another pool. The cores that are left have not changed then.
    pub(super) fn renew(&self) -> anyhow::Result<()> {
        self.all().try_for_each(|cores| cores.renew(self.cache.clone(), &self.limits, &self.ticking))
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
                if engine.upgrade().is_some_and(|engine| engine.ticker.lateness(Instant::now()).is_some()) {
                    tokio::time::sleep(50 * TICK).await;
                }
                let Some(engine) = engine.upgrade() else { break };
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
    pub(super) fn check_compiles(&self, abi: Abi, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(compiler) = &self.compiler else { return Ok(()) };
        compiler.check(abi, &self.cores(abi, Memories::Pool)?.current().engine, name, bytes)
    }

    /// Like [`check_compiles`](Self::check_compiles), for code of our own.
    ///
    /// # Errors
    ///
    /// It does not compile, or not within ten minutes.
    pub(super) fn check_own_code(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(compiler) = &self.compiler else { return Ok(()) };
        compiler.check_own(&self.sync.current().engine, name, bytes)
    }

    /// A description, for the log, of how an instance's data is kept from the next one.
    #[must_use]
    pub fn wiping(&self) -> &'static str {
        if self.sync.current().engine.pooling_allocator_metrics().is_some() {
            "instances come from a pool: their memory goes back to the system when they end, and their tables are wiped"
        } else {
            "no address space for a pool: each instance allocates its own memory and tables and frees them when it ends"
        }
    }

    /// How much of the pools is in use.
    #[must_use]
    pub fn pool(&self) -> Pool {
        self.all().map(|cores| cores.current().pool()).fold(Pool::default(), Pool::and)
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
