//! When a pool is worth replacing.
//!
//! A pool keeps what instances have used, as the next ones can have it for less: stacks that were deep once, pages of memories
//! and tables. After a storm that is a lot, it is never given back, and nobody may need it again.

/// How much more than before may stay in use, in octets.
const GROWTH: u64 = 8 << 20;

/// How much memory the process has in use while it is idle.
pub(super) struct Footprint(Option<u64>);

impl Footprint {
    /// As it is now.
    pub(super) fn now() -> Self {
        Self(resident())
    }

    /// To be taken when the process is idle for the next time.
    pub(super) const UNKNOWN: Self = Self(None);

    /// Whether it has become much larger. To be asked while the process is idle.
    pub(super) fn has_grown(&mut self) -> bool {
        let Some(now) = resident() else { return false };
        // What was loaded at the beginning is not always needed to the end.
        let before = self.0.map_or(now, |before| before.min(now));
        self.0 = Some(before);
        now > before + GROWTH
    }
}

/// Octets of this process that are in memory, where the system tells.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
