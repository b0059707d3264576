//! `wasmserve clean`: removes the caches.

use anyhow::Context as _;

use crate::{base::dirs, source::build};

/// The caches of compiled components. The list comes first: a component on it is expected in the cache.
const COMPILED: [&str; 2] = ["compiled", "components"];

/// Removes what was built, compiled and installed, and returns a text that says how much that was. Servers go on: they have their handlers in memory,
/// and what they build or compile next, they write anew. A directory that a build or a
/// Python app uses at the moment stays.
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
    let (built, builds) = build::clean(&ours.join("build"))?;
    let (installed, serves) = build::clean(&ours.join("dependencies"))?;
    freed += built + installed;
    let rest = match (builds, serves) {
        (false, false) => "",
        (true, _) => "; a build that is running keeps its own",
        (false, true) => "; a Python app that is served keeps its dependencies",
    };
    // In tenths, rounded.
    let tenths = (freed * 10 + (1 << 19)) >> 20;
    Ok(format!("removed {}.{} MiB from `{}`{rest}\n", tenths / 10, tenths % 10, ours.display()))
}
