//! The limit on file descriptors, and a spare one for when they run out.

use std::fs::File;

/// The number of connections if file descriptors are not limited.
const CONNECTIONS_MAX: usize = 1024;

/// The number of connections however few file descriptors there are.
const CONNECTIONS_MIN: usize = 16;

/// How many descriptors the server itself needs, with a margin.
const OWN: u64 = 64;

/// Raises this process's limit on descriptors to the maximum, and grows the kernel's descriptor table to its final size
/// for `connections`, or for [`connections_max`] if `None`. Ignores errors.
///
/// Must be called before there are threads. Linux doubles the table when it is full. In a process with threads this
/// takes about ten milliseconds, in which no thread can open a descriptor.
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
    // Duplicating to the highest number grows the table, which does not shrink when the duplicate is closed.
    _ = fcntl_dupfd_cloexec(std::io::stderr(), i32::try_from(last).unwrap_or(i32::MAX));
}

/// Does nothing: this system has no limit that could be raised.
#[cfg(not(unix))]
pub(crate) fn make_room(_: Option<usize>) {}

/// How many connections there are descriptors for, if the handler of each one opens a descriptor as well.
pub(super) fn connections_max() -> usize {
    limit().map_or(CONNECTIONS_MAX, connections_for)
}

fn connections_for(limit: u64) -> usize {
    let connections = usize::try_from(limit.saturating_sub(OWN) / 2).unwrap_or(usize::MAX);
    connections.clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

/// The limit on this process's descriptors, if there is one.
#[cfg(unix)]
pub(super) fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// The limit on this process's descriptors, if there is one.
#[cfg(not(unix))]
pub(super) fn limit() -> Option<u64> {
    None
}

/// A descriptor that is released when no other is left.
pub(super) struct Spare(Option<File>);

impl Spare {
    pub(super) fn new() -> Self {
        Self(open())
    }

    /// Releases the descriptor for as long as the result lives; `None` if there is none.
    pub(super) fn lend(&mut self) -> Option<Lent<'_>> {
        self.0 = self.0.take().or_else(open);
        self.0.take().map(|_| Lent(self))
    }
}

/// Reopens the spare descriptor when dropped.
pub(super) struct Lent<'a>(&'a mut Spare);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // If another thread took the descriptor, `lend` tries again.
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
