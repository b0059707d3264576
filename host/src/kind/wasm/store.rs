//! Creates the store of an instance, with its limits and its interruption at each tick.

use std::time::Instant;

use wasmtime::{Store, UpdateDeadline};

use super::{
    guest::Guest,
    outcome::{Overdue, stack},
};
use crate::{
    fault::Limit,
    handler::lanes::{self, Overrun},
};

/// Creates a store for one instance, which is interrupted at each tick.
pub(super) fn new_store(engine: &wasmtime::Engine, guest: Guest) -> Store<Guest> {
    let limits = &guest.call.allowance.limits;
    let (arguments, handles) = (limits.arguments.unwrap_or(limits.memory), limits.handles);
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(usize::try_from(arguments).unwrap_or(usize::MAX));
    store.set_max_component_handles(handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        let guest = store.data();
        let computed = lanes::charge(&guest.stats);
        if guest.stats.is_asked_for_stack() {
            guest.stats.set_stack(stack(&store));
        }
        if Instant::now() >= guest.deadline {
            return Err(Overdue { limit: Limit::Wall, wait: None, stack: None }.into());
        }
        if computed >= guest.call.allowance.limits.cpu_time {
            return Err(Overdue { limit: Limit::Cpu, wait: None, stack: None }.into());
        }
        Ok(match lanes::overrun(computed) {
            Overrun::GoOn => UpdateDeadline::Continue(1),
            Overrun::Yield(until) => UpdateDeadline::YieldCustom(1, until),
        })
    });
    store
}
