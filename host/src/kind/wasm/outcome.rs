//! Turns the result of a component's call into a fault of the gateway.

use std::fmt;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

use super::guest::Guest;
use crate::{
    base::stack::{Frame, Stack, Wait},
    fault::{Fault, Limit},
};

/// The error of a handler whose time is up.
#[derive(Debug)]
pub(super) struct Overdue {
    pub(super) limit: Limit,
    /// What the handler was waiting for, if anything.
    pub(super) wait: Option<Wait>,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the handler's time is up")
    }
}

impl std::error::Error for Overdue {}

/// Turns the result of a call into a fault of the gateway, if it is one.
pub(super) fn conclude(outcome: wasmtime::Result<Result<(), String>>, guest: &mut Guest) -> Result<(), Fault> {
    let error = match outcome {
        Ok(returned) => return guest.call.conclude(returned),
        Err(error) => error,
    };
    let stack = error.downcast_ref::<WasmBacktrace>().map(stack).unwrap_or_default();
    if let Some(Overdue { limit, wait }) = error.downcast_ref() {
        return Err(Fault::TimedOut { limit: *limit, wait: *wait, stack });
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Err(Fault::Busy);
    }
    let fault = match (error.downcast_ref::<I32Exit>(), guest.memory.refusal()) {
        // Exiting with status 0 means success.
        (Some(I32Exit(0)), _) => return guest.call.conclude(Ok(())),
        (Some(I32Exit(status)), _) => Fault::Exited(*status),
        (None, Some(refusal)) => return Err(Fault::OutOfMemory(refusal)),
        (None, None) => trap(&error, stack, guest),
    };
    Err(guest.call.blame(fault))
}

/// The fault for a trap: with the message of a panic if there is one, or else with wasmtime's message.
fn trap(error: &wasmtime::Error, stack: Stack, guest: &mut Guest) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return Fault::StackOverflow { stack };
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Fault::TooManyHandles { stack };
    }
    let reason = match (guest.call.writer.take_exception(), trap) {
        (Some(exception), _) => String::from_utf8_lossy(&exception).into_owned(),
        (None, Some(trap)) => trap.to_string(),
        (None, None) => error.root_cause().to_string(),
    };
    Fault::Trap { reason, stack }
}

/// Converts wasmtime's backtrace.
pub(super) fn stack(backtrace: &WasmBacktrace) -> Stack {
    let frames = backtrace.frames().iter().map(|frame| {
        let symbol = frame.symbols().first();
        let name = frame.func_name().or_else(|| symbol?.name());
        let function = match name {
            Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
            None => format!("function {}", frame.func_index()),
        };
        let place = symbol.and_then(|symbol| Some(format!("{}:{}", symbol.file()?, symbol.line()?)));
        Frame { function, place }
    });
    Stack::new(frames.collect())
}
