//! The settings of wasmtime, and the only place that builds a wasmtime engine.

use std::{num::NonZeroUsize, thread};

use wasmtime::{Cache, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use super::image;
use crate::base::limits::EngineLimits;

/// The upper bound for the number of live instances. Linux allows a process 65,530 mappings by default
/// (`vm.max_map_count`), and each instance takes six.
pub(crate) const INSTANCES_MAX: usize = 10_000;

/// Enough for handlers made by existing toolchains: componentize-py links 14 core modules, for example.
const CORE_INSTANCES_PER_COMPONENT: u32 = 20;
pub(super) const MEMORIES_PER_COMPONENT: u32 = 8;
pub(super) const TABLES_PER_COMPONENT: u32 = 32;
/// How many layers an instance may have: its handler and the filters in front of it.
pub(crate) const LAYERS_MAX: u32 = 33;
/// What most layers need, as most filters are made by one toolchain: a memory, and core instances for it and for its imports.
const CORE_INSTANCES_PER_LAYER: u32 = 4;
/// Memories for components with more than one.
const SPARE_MEMORIES: u32 = 1000;
const TABLE_ELEMENTS: usize = 20_000;

/// How many memories stay mapped for their components on each core.
const WARM_SLOTS_PER_CORE: u32 = 256;

/// How much of a stack is reserved for host functions, in bytes.
const HOST_STACK: usize = 2 << 20;

/// How components call and are called. The code of all components of an engine is compiled for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abi {
    /// A call returns when it is done: WASI 0.2 and our own world.
    Sync,
    /// A call may go on while others are made: WASI 0.3. Each call costs more, even those that do not use this.
    Async,
}

/// Where the memories of instances come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memories {
    /// From wasmtime's pool.
    Pool,
    /// From images: for Python, whose instances begin with tens of megabytes and write to all of them.
    Images,
}

/// Builds an engine that runs instances. `cache` is where compiled components are kept.
///
/// # Errors
///
/// wasmtime rejects the settings, which do not depend on user input.
pub(super) fn with_pool(abi: Abi, cache: Option<Cache>, limits: &EngineLimits) -> anyhow::Result<wasmtime::Engine> {
    match build(abi, cache.clone(), limits, InstanceAllocationStrategy::Pooling(pool(limits.instances))) {
        Ok(engine) => Ok(engine),
        // The pool reserves terabytes of address space, which `ulimit -v` and some virtual machines do not allow.
        Err(_) => without_pool(abi, cache, limits),
    }
}

/// Builds an engine whose memories come from images.
///
/// # Errors
///
/// As for [`with_pool`].
pub(super) fn with_images(abi: Abi, cache: Option<Cache>, limits: &EngineLimits) -> anyhow::Result<wasmtime::Engine> {
    let mut config = config(abi, cache, limits);
    image::allocate(&mut config);
    Ok(wasmtime::Engine::new(&config)?)
}

/// Builds an engine that compiles the same code as [`with_pool`], so that both share a cache, but reserves no memory
/// for instances.
///
/// # Errors
///
/// As for [`with_pool`].
pub(super) fn without_pool(abi: Abi, cache: Option<Cache>, limits: &EngineLimits) -> anyhow::Result<wasmtime::Engine> {
    build(abi, cache, limits, InstanceAllocationStrategy::OnDemand)
}

pub(super) fn build(
    abi: Abi,
    cache: Option<Cache>,
    limits: &EngineLimits,
    instances: InstanceAllocationStrategy,
) -> anyhow::Result<wasmtime::Engine> {
    let mut config = config(abi, cache, limits);
    config.allocation_strategy(instances);
    Ok(wasmtime::Engine::new(&config)?)
}

fn config(abi: Abi, cache: Option<Cache>, limits: &EngineLimits) -> Config {
    let mut config = Config::new();

    // Handlers that compute are interrupted at the next tick; fuel would cost two to three times as much.
    config.epoch_interruption(true);
    // The difference is for host functions: a stack overflow in one of them would end the process.
    config.max_wasm_stack(limits.stack).async_stack_size(limits.stack + HOST_STACK);

    // Without the feature, all that this needs is not even compiled in.
    #[cfg(feature = "wasip3")]
    config.concurrency_support(abi == Abi::Async).wasm_component_model_async(abi == Abi::Async);
    #[cfg(not(feature = "wasip3"))]
    debug_assert_eq!(abi, Abi::Sync);
    // Each proposal adds attack surface. These are on by default, and no toolchain for our worlds needs them.
    config.gc_support(false).wasm_gc(false).wasm_function_references(false).wasm_exceptions(false);
    // wasmtime does not ask the limiter about shared memories.
    config.wasm_threads(false).shared_memory(false);
    config.wasm_memory64(false).wasm_stack_switching(false);

    let details = if limits.lines { WasmBacktraceDetails::Enable } else { WasmBacktraceDetails::Disable };
    config.wasm_backtrace_details(details);
    // A panic alone adds a dozen frames of the standard library.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(100));
    config.cache(cache);
    config
}

/// The settings of the pool, which reuses the same addresses: the kernel wipes memories, and wasmtime wipes tables.
pub(super) fn pool(instances: usize) -> PoolingAllocationConfig {
    let instances = u32::try_from(instances).unwrap_or(u32::MAX);
    let cores = thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT + LAYERS_MAX * CORE_INSTANCES_PER_LAYER)
        // Nearly every component has one memory and a few tables. The totals cost address space, not memory, but
        // address space is limited too.
        .total_memories(instances.saturating_add(SPARE_MEMORIES))
        .max_memories_per_component(MEMORIES_PER_COMPONENT + LAYERS_MAX)
        .max_memories_per_module(2)
        // The limiter enforces what the user allows.
        .max_memory_size(usize::try_from(4_u64 << 30).unwrap_or(usize::MAX))
        .total_tables(instances.saturating_mul(4))
        .max_tables_per_component(TABLES_PER_COMPONENT + 2 * LAYERS_MAX)
        .table_elements(TABLE_ELEMENTS)
        // Must stay off before wasmtime 50.0.1. Until then, the scan asks the kernel for pages that are written *and
        // present*. A page that is not present when an instance ends is neither wiped nor given back, and the next
        // instance can read it: a page in swap, or one that compaction is moving at that moment, even on machines
        // without swap and in locked memory (`siege isolation` provokes both;
        // https://github.com/bytecodealliance/wasmtime/pull/14357). We cannot detect that a machine does neither, so
        // there is no condition under which this may be on.
        .pagemap_scan(Enabled::No)
        // Without the scan, wasmtime wipes this many bytes by hand, written or not, and gives the rest back. A Rust
        // memory starts with the far end of the stack, which hardly any handler reaches, so all of it is given back.
        .linear_memory_keep_resident(0)
        // Most tables fit in a page, and giving two of them back would cost a hello 7 µs more (docs/speed.md).
        .table_keep_resident(64 << 10)
        // Reusing memory that is still mapped for its component halves the cost. wasmtime divides these slots among the
        // cores, because a thread prefers slots that it has used before: two hundred components have one slot each on
        // every core. All of this memory is given back when the server is idle (`footprint`).
        .max_unused_warm_slots(WARM_SLOTS_PER_CORE.saturating_mul(cores));
    pool
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;

    use super::{super::cache, *};

    #[test]
    fn the_kernel_is_not_asked_which_pages_were_written() {
        // Read the comment in `pool` before changing this.
        assert_eq!(pool(1).get_pagemap_scan(), Enabled::No);
    }

    #[test]
    fn an_engine_with_a_pool_finds_code_compiled_without_one_in_the_cache() {
        let place = std::env::temp_dir().join(format!("wasmserve-engine-{}", std::process::id()));
        let cache = || cache::open_at(&place).expect("a temporary directory is writable");
        let (of_child, of_parent) = (cache(), cache());
        let empty = b"\0asm\x0d\0\x01\0";
        for (before, abi) in [
            Abi::Sync,
            #[cfg(feature = "wasip3")]
            Abi::Async,
        ]
        .into_iter()
        .enumerate()
        {
            let child =
                without_pool(abi, Some(of_child.clone()), &EngineLimits::DEFAULT).expect("the settings are sound");
            let limits = EngineLimits { stack: 2 << 20, ..EngineLimits::DEFAULT };
            let parent = with_pool(abi, Some(of_parent.clone()), &limits).expect("the settings are sound");
            for engine in [&child, &parent] {
                Component::from_binary(engine, empty).expect("it is a component");
            }
            assert_eq!((of_child.cache_hits(), of_child.cache_misses()), (0, before + 1), "{abi:?}");
            assert_eq!((of_parent.cache_hits(), of_parent.cache_misses()), (before + 1, 0), "{abi:?}");
        }
        // wasmtime may still be recording how often an entry was used, so this may fail.
        _ = std::fs::remove_dir_all(place);
    }
}
