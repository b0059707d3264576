//! The settings of wasmtime: the one place that builds its engine.

use std::{num::NonZeroUsize, thread};

use wasmtime::{Cache, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::base::limits::EngineLimits;

/// How many instances may live at the same time at most. Linux gives a process 65,530 mappings by default
/// (`vm.max_map_count`), of which each instance takes six.
pub(crate) const INSTANCES_MAX: usize = 10_000;

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

/// An engine that runs instances. `cache` is where compiled components are kept.
///
/// # Errors
///
/// wasmtime's own checks of the settings, which do not depend on what the user gave.
pub(super) fn with_pool(cache: Option<Cache>, limits: &EngineLimits) -> anyhow::Result<wasmtime::Engine> {
    match build(cache.clone(), limits, InstanceAllocationStrategy::Pooling(pool(limits.instances))) {
        Ok(engine) => Ok(engine),
        // The pool reserves terabytes of addresses, which `ulimit -v` and some virtual machines refuse.
        Err(_) => without_pool(cache, limits),
    }
}

/// An engine that compiles the same code as [`with_pool`], so that both share a cache, and reserves nothing for instances.
///
/// # Errors
///
/// As for [`with_pool`].
pub(super) fn without_pool(cache: Option<Cache>, limits: &EngineLimits) -> anyhow::Result<wasmtime::Engine> {
    build(cache, limits, InstanceAllocationStrategy::OnDemand)
}

pub(super) fn build(
    cache: Option<Cache>,
    limits: &EngineLimits,
    instances: InstanceAllocationStrategy,
) -> anyhow::Result<wasmtime::Engine> {
    let mut config = Config::new();

    // Handlers that compute are interrupted at the next tick; fuel would cost two to three times as much.
    config.epoch_interruption(true);
    // What is left of the larger one is for host functions, which must never run out of it: that would end the process.
    config.max_wasm_stack(limits.stack).async_stack_size(limits.stack + HOST_STACK);

    // Each proposal is a way in. These are on by default, and no toolchain for our world needs them; component-model-async
    // is not even compiled in.
    config.gc_support(false).wasm_gc(false).wasm_function_references(false).wasm_exceptions(false);
    // The limiter is not asked about shared memories.
    config.wasm_threads(false).shared_memory(false);
    config.wasm_memory64(false).wasm_stack_switching(false);

    let details = if limits.lines { WasmBacktraceDetails::Enable } else { WasmBacktraceDetails::Disable };
    config.wasm_backtrace_details(details);
    // A panic alone has a dozen of its library's.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(100));
    config.cache(cache);

    config.allocation_strategy(instances);
    Ok(wasmtime::Engine::new(&config)?)
}

/// Instances come out of a pool: the same addresses again and again, wiped by the kernel (memories) or by hand (tables).
pub(super) fn pool(instances: usize) -> PoolingAllocationConfig {
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
        // all of them is given back when the server is idle (`footprint`).
        .max_unused_warm_slots(WARM_SLOTS_PER_CORE.saturating_mul(cores));
    pool
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;

    use super::{super::cache, *};

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
        let child = without_pool(Some(of_child.clone()), &EngineLimits::DEFAULT).expect("the settings are sound");
        let parent = with_pool(Some(of_parent.clone()), &EngineLimits { stack: 2 << 20, ..EngineLimits::DEFAULT })
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
