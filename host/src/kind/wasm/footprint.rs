//! When memory is worth giving back.
//!
//! A pool keeps what instances have used, as the next ones can have it for less: stacks that were deep once, pages of memories
//! and tables. The C library keeps what was allocated, in the same hope. After a storm that is a lot, and nobody may need it again.

/// How much more than before may stay in use, in octets.
const GROWTH: u64 = 8 << 20;

/// How much memory the process has in use while it is idle.
pub(super) struct Footprint(u64);

impl Footprint {
    /// As it is now, or smaller as soon as it turns out to be.
    pub(super) fn now() -> Self {
        Self(resident().unwrap_or(u64::MAX))
    }

    /// Whether it has become much larger. To be asked while the process is idle.
    pub(super) fn has_grown(&mut self) -> bool {
        let Some(now) = resident() else { return false };
        // What was loaded at the beginning is not always needed to the end.
        self.0 = self.0.min(now);
        now > self.0 + GROWTH
    }
}

/// Has the C library give back what is not allocated.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "there is no other way to tell the C library")]
pub(super) fn trim() {
    // SAFETY: it takes a number and no pointer, moves nothing that is allocated, and may be called by any thread at any time
    // (malloc_trim(3) calls it MT-Safe).
    unsafe { libc::malloc_trim(0) };
}

/// Has the C library give back what is not allocated, where it can be told to.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn trim() {}

/// Octets of this process that are in memory, where the system tells.
#[cfg(target_os = "linux")]
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(not(target_os = "linux"))]
fn resident() -> Option<u64> {
    None
}
