//! The data of an instance's store: everything that the instance can reach.

use std::{sync::Arc, time::Instant};

use wasmserve_gateway::environ;

use super::{guest_log::GuestLog, memory::Memory, phrases, python::stack::View, wasi::Wasi};
use crate::{admission::call_stats::CallStats, fault::Fault, handler::Call};

/// The data of an instance's store: everything that the instance can reach.
pub(super) struct Guest {
    pub(super) call: Call,
    /// What reports show about the call.
    pub(super) stats: Arc<CallStats>,
    pub(super) deadline: Instant,
    pub(super) guest_log: GuestLog,
    pub(super) memory: Memory,
    /// Whether a note has named a path that is not granted.
    pub(super) has_noted_path: bool,
    /// Created when the guest first uses it.
    pub(super) wasi: Option<Box<Wasi>>,
    /// For looking at Python code, if it is what the instance runs.
    pub(super) python: Option<View>,
}

impl Guest {
    pub(super) fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.call.allowance, &self.guest_log)))
    }

    /// Whether the guest may look up `name`, with a note if it may not: only names that it may connect to, because a
    /// lookup can carry data out as well.
    pub(super) fn may_look_up(&self, name: &str) -> bool {
        let is_allowed = self.call.allowance.grants.net.iter().any(|net| net.names(name));
        if !is_allowed {
            self.guest_log.note(&format!("lookup of {name} denied; allow it with --allow-net {name}:PORT"));
        }
        is_allowed
    }

    /// Writes a note that names the flag for a variable, if the handler failed because it does not have it.
    pub(super) fn explain(&self, fault: &Fault) {
        let (Fault::Trap { reason, .. } | Fault::Exception(reason)) = fault else { return };
        let has_read_variables = self.wasi.as_ref().is_some_and(|wasi| wasi.has_read_variables);
        if has_read_variables && phrases::is_about_missing_variable(reason) {
            self.guest_log.note("the handler asked for a variable that is not granted; grant it with --env NAME");
        }
    }

    /// Writes a note that names the flag for a variable that the handler asked for by name, unless the name is one of the
    /// gateway's, which a request may or may not have.
    pub(super) fn note_missing_variable(&self, name: &str) {
        let is_of_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if name.bytes().all(is_of_name) && (1..=64).contains(&name.len()) && !environ::is_reserved(name) {
            let note = format!("the handler asked for `{name}`, which is not granted; grant it with --env {name}");
            self.guest_log.note(&note);
        }
    }
}
