//! File descriptors: how many there are, and one that is kept for the day when there are none.

use std::fs::File;

/// How many connections are open at the same time where descriptors are no matter.
const CONNECTIONS_MAX: usize = 1024;

/// How many are open at least, however few descriptors there are.
const CONNECTIONS_MIN: usize = 16;

/// What the server itself has open, with something to spare.
const OWN: u64 = 64;

/// Lets this process have as many descriptors as it may have, and has the system make room for those of so many connections,
/// or of as many as there may be. If it cannot, it makes do with what it has.
///
/// To be called before there are threads. Linux doubles a table of descriptors when it is full; while it does, no thread gets
/// another one, and with threads that takes ten milliseconds or so.
#[cfg(unix)]
pub(crate) fn make_room(connections: Option<usize>) {
    use rustix::{
        io::fcntl_dupfd_cloexec,
        process::{Resource, Rlimit, getrlimit, setrlimit},
    };
    let maximum = getrlimit(Resource::Nofile).maximum;
    _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let wanted = (connections.unwrap_or_else(connections_max) as u64).saturating_add(OWN);
    let last = wanted.min(limit().unwrap_or(u64::MAX)).saturating_sub(1);
    // The table is as long as its last entry needs, even if that is gone in a moment.
    _ = fcntl_dupfd_cloexec(std::io::stderr(), i32::try_from(last).unwrap_or(i32::MAX));
}

/// Lets this process have as many descriptors as it may have. If it cannot, it makes do with what it has.
#[cfg(not(unix))]
pub fn make_room(_: Option<usize>) {}

/// How many connections there are descriptors for, if each of them has a handler that opens something as well.
pub(super) fn connections_max() -> usize {
    limit().map_or(CONNECTIONS_MAX, connections_for)
}

fn connections_for(limit: u64) -> usize {
    let connections = usize::try_from(limit.saturating_sub(OWN) / 2).unwrap_or(usize::MAX);
    connections.clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

/// How many descriptors this process may have, if that is limited.
#[cfg(unix)]
pub(super) fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// How many descriptors this process may have, if that is limited.
#[cfg(not(unix))]
pub(super) fn limit() -> Option<u64> {
    None
}

/// A descriptor that can be given up when there is no other.
pub(super) struct Spare(Option<File>);

impl Spare {
    pub(super) fn new() -> Self {
        Self(open())
    }

    /// Gives it up for as long as the result lives; `None` if there is none.
    pub(super) fn lend(&mut self) -> Option<Lent<'_>> {
        self.0 = self.0.take().or_else(open);
        self.0.take().map(|_| Lent(self))
    }
}

/// A spare descriptor that is in use.
pub(super) struct Lent<'a>(&'a mut Spare);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // If another one was faster, it is tried again when it is needed.
        self.0.0 = open();
    }
}

fn open() -> Option<File> {
    File::open("/dev/null").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_handlers() {
        for (limit, connections) in [(0, 16), (64, 16), (256, 96), (1024, 480), (20_000, 1024), (u64::MAX, 1024)] {
            assert_eq!(connections_for(limit), connections, "{limit}");
        }
    }
}
