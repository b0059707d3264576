//! The data of an instance's store: everything that the instance can reach.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{guest_log::GuestLog, memory::Memory, wasi::Wasi};
use crate::{admission::call_stats::CallStats, event::Stream, handler::Call};

/// The data of an instance's store: everything that the instance can reach.
pub(super) struct Guest {
    pub(super) call: Call,
    /// What reports show about the call.
    pub(super) stats: Arc<CallStats>,
    pub(super) deadline: Instant,
    pub(super) guest_log: GuestLog,
    pub(super) memory: Memory,
    /// Whether the note about missing directories was written. Once per component is enough.
    pub(super) missing_dirs_noted: Arc<AtomicBool>,
    /// Created when the guest first uses it.
    pub(super) wasi: Option<Box<Wasi>>,
}

impl Guest {
    pub(super) fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.call.allowance, &self.guest_log)))
    }

    pub(super) fn note_missing_dirs(&self) {
        if self.call.allowance.grants.dirs.is_empty() && !self.missing_dirs_noted.swap(true, Ordering::Relaxed) {
            self.guest_log.write(
                Stream::Note,
                b"the handler asked for its directories, and none is granted; grant one with --dir HOST::GUEST",
            );
        }
    }
}
