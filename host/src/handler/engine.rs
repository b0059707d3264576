//! What all components of a process share: the one place that builds wasmtime's engine, and the thread that keeps its time.

use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
    component::Linker,
};

use super::{
    host::{self, Guest},
    lanes::SlowLane,
    sandbox::{self, Budget},
};

/// How many instances may live at the same time. Waiting ones cost memory but no time, so it is not the number of cores.
pub const INSTANCES_MAX: usize = 1000;

/// The same, as wasmtime counts.
const INSTANCES: u32 = INSTANCES_MAX as u32;

/// What handlers made by real toolchains need of one instance: componentize-py links 14 core modules, for example.
const CORE_INSTANCES_PER_COMPONENT: u32 = 20;
pub(super) const MEMORIES_PER_COMPONENT: u32 = 8;
pub(super) const TABLES_PER_COMPONENT: u32 = 32;
const TABLE_ELEMENTS: usize = 20_000;

/// How long a handler may hold a thread that others wait for.
const TICK: Duration = Duration::from_millis(2);

/// What all components of a process share: compiler, pool of memory, host functions, threads for handlers that compute.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<Guest>,
    slow_lane: Arc<SlowLane>,
    budget: Arc<Budget>,
    _ticker: Ticker,
}

impl Engine {
    /// An engine that keeps what it compiles in the user's cache directory, and whose instances use no more than `memory`
    /// octets together.
    ///
    /// Returns a warning as well if the cache cannot be used, which costs time only.
    ///
    /// # Errors
    ///
    /// The system refuses more threads.
    pub fn new(memory: u64) -> anyhow::Result<(Arc<Self>, Option<anyhow::Error>)> {
        let (cache, warning) = match cache_directory().map(|directory| open_cache(&directory)) {
            Some(Ok(cache)) => (Some(cache), None),
            Some(Err(error)) => (None, Some(error.context("no compile cache, so that each start compiles anew"))),
            None => (None, None),
        };
        let engine = build(cache)?;
        let mut linker = Linker::new(&engine);
        sandbox::link(&mut linker)?;
        host::link(&mut linker)?;
        let ticker = Ticker::spawn(&engine)?;
        let (slow_lane, budget) = (Arc::new(SlowLane::spawn()?), Arc::new(Budget::new(memory)));
        Ok((Arc::new(Self { engine, linker, slow_lane, budget, _ticker: ticker }), warning))
    }

    /// wasmtime's own.
    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// All that a component may import.
    pub(super) fn linker(&self) -> &Linker<Guest> {
        &self.linker
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

/// Builds wasmtime's engine. `cache` is where compiled components are kept.
///
/// # Errors
///
/// wasmtime's own checks of the settings, which do not depend on what the user gave.
fn build(cache: Option<Cache>) -> anyhow::Result<wasmtime::Engine> {
    let mut config = Config::new();

    // Handlers that compute are interrupted at the next tick; fuel would cost two to three times as much.
    config.epoch_interruption(true);
    // CPython recurses deeply in C. What is left of the larger one is for host functions, which must never run out of it:
    // that would end the process.
    config.max_wasm_stack(1 << 20).async_stack_size(3 << 20);

    // Each proposal is a way in. These are on by default, and no toolchain for our world needs them; component-model-async
    // is not even compiled in.
    config.gc_support(false).wasm_gc(false).wasm_function_references(false).wasm_exceptions(false);
    // The limiter is not asked about shared memories.
    config.wasm_threads(false).shared_memory(false);
    config.wasm_memory64(false).wasm_stack_switching(false);

    // A component's debug sections are the author's input to us; function names are enough for one line.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // A panic alone has a dozen of its library's.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(100));
    config.cache(cache);

    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    match wasmtime::Engine::new(&config) {
        Ok(engine) => Ok(engine),
        // The pool reserves terabytes of addresses, which `ulimit -v` and some virtual machines refuse.
        Err(_) => {
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Ok(wasmtime::Engine::new(&config)?)
        }
    }
}

/// Instances come out of a pool: the same memory again and again, wiped by the kernel or by hand.
fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_stacks(INSTANCES)
        .total_core_instances(INSTANCES * CORE_INSTANCES_PER_COMPONENT)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        // Nearly every component has one memory and a few tables; the totals are address space, not memory.
        .total_memories(2 * INSTANCES)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_memories_per_module(2)
        // What an instance may use is for the limiter to say, in the user's words.
        .max_memory_size(usize::try_from(4_u64 << 30).unwrap_or(usize::MAX))
        .total_tables(4 * INSTANCES)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        // Measured: the reset of a small instance by hand costs a fraction of giving its pages back, if the kernel can
        // tell which of them were written.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(64);
    pool
}

/// Opens the compile cache below the user's cache directory.
///
/// Entries are native code that is run as it is, so nobody else may be able to write there.
///
/// # Errors
///
/// The directory cannot be made, or belongs to somebody else. The server can do without it.
fn open_cache(directory: &Path) -> anyhow::Result<Cache> {
    make_private(directory).with_context(|| format!("`{}`", directory.display()))?;
    remove_leftovers(directory);
    let mut config = CacheConfig::new();
    config.with_directory(directory);
    Ok(Cache::new(config)?)
}

/// Where compiled components are kept: `wasmserve/components` in the user's cache directory, if there is one.
#[must_use]
fn cache_directory() -> Option<PathBuf> {
    let from = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("wasmserve").join("components"))
}

#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not a directory of yours"));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// A process that was killed while it wrote an entry leaves a file behind that keeps wasmtime from ever writing this entry
/// again, so that each start would compile anew.
fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_leftovers(&path);
        } else if entry.file_name().to_string_lossy().contains(".wip-atomic-write") {
            // If it cannot be removed, the start is slow but right.
            _ = fs::remove_file(path);
        }
    }
}

/// The thread that advances an engine's epoch. Not a task: tasks starve together with the handlers that they should stop.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts ticking.
    ///
    /// # Errors
    ///
    /// The system refuses another thread.
    fn spawn(engine: &wasmtime::Engine) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let engine = engine.weak();
        let thread = thread::Builder::new().name("ticker".into()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                let Some(engine) = engine.upgrade() else { break };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}
