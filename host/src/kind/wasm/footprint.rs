//! Decides when unused memory is worth giving back to the system, and gives it back.
//!
//! A pool keeps what instances have used, because reusing it is cheaper than allocating it again: stacks that were once
//! deep, pages of memories and tables. The C library keeps freed memory for the same reason. After a burst that is a
//! lot of memory, and it may never be needed again.

/// How much memory use may grow before it is worth giving memory back, in bytes.
const GROWTH: u64 = 8 << 20;

/// The resident memory of the idle process, in bytes.
pub(super) struct Footprint(u64);

impl Footprint {
    /// The current size. [`has_grown`](Self::has_grown) lowers it when the process turns out to need less.
    pub(super) fn now() -> Self {
        Self(resident().unwrap_or(u64::MAX))
    }

    /// Whether the process has grown a lot. Only meaningful while the process is idle.
    pub(super) fn has_grown(&mut self) -> bool {
        let Some(now) = resident() else { return false };
        // The process may shrink below its size at the start.
        self.0 = self.0.min(now);
        now > self.0 + GROWTH
    }
}

/// Makes the C library return freed memory to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
pub(super) fn trim() {
    // SAFETY: malloc_trim takes a number and no pointer, moves no live allocation, and may be called from any thread at
    // any time (malloc_trim(3) documents it as MT-Safe).
    unsafe { libc::malloc_trim(0) };
}

/// Does nothing: only glibc can return freed memory on request.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn trim() {}

/// The resident memory of this process in bytes, if the system reports it.
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
