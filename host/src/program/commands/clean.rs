//! `wasmserve clean`: removes the caches.

use anyhow::Context as _;

use crate::{base::dirs, source::build};

/// The caches of compiled components. The list comes first: a component on it is expected in the cache.
const COMPILED: [&str; 2] = ["compiled", "components"];

/// Removes what was built and compiled, and returns a text that says how much that was. Servers go on: they have their handlers in memory,
/// and what they build or compile next, they write anew. A directory that a build uses at the moment stays.
///
/// # Errors
///
/// There is no cache directory to look for, or something cannot be removed.
pub(crate) fn clean() -> anyhow::Result<String> {
    let ours = dirs::directory().context("there is no cache; HOME and XDG_CACHE_HOME are not set")?;
    let mut freed = 0;
    for name in COMPILED {
        freed += dirs::remove(&ours.join(name))?;
    }
    let (built, in_use) = build::clean(&ours.join("build"))?;
    freed += built;
    let rest = if in_use { "; a build that is running keeps its own" } else { "" };
    // In tenths, rounded.
    let tenths = (freed * 10 + (1 << 19)) >> 20;
    Ok(format!("removed {}.{} MiB from `{}`{rest}\n", tenths / 10, tenths % 10, ours.display()))
}
