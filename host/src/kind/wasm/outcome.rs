//! Turns the result of a component's call into a fault of the gateway.

use std::fmt;

use wasmtime::{
    AsContext, FrameSymbol, PoolConcurrencyLimitError, Store, Trap, WasmBacktrace, component::ResourceTableError,
};
use wasmtime_wasi::I32Exit;

use super::{guest::Guest, layer::MARK, phrases};
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
    /// Where it began to wait, if it has left that place since.
    pub(super) stack: Option<Stack>,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the handler's time is up")
    }
}

impl std::error::Error for Overdue {}

/// Turns the result of a call into a fault of the gateway, if it is one. The error of a call may be the fault itself.
pub(super) fn conclude(outcome: wasmtime::Result<Result<(), String>>, store: &mut Store<Guest>) -> Result<(), Fault> {
    let error = match outcome {
        Ok(returned) => {
            let guest = store.data_mut();
            let concluded = guest.call.conclude(returned);
            return concluded.inspect_err(|fault| guest.explain(fault));
        }
        Err(error) => error,
    };
    let stack = of_store(&*store, error.downcast_ref().map(functions).unwrap_or_default());
    let guest = store.data_mut();
    if let Some(fault) = error.downcast_ref::<Fault>() {
        return Err(guest.call.blame(fault.clone()));
    }
    if let Some(overdue) = error.downcast_ref::<Overdue>() {
        let stack = overdue.stack.clone().unwrap_or(stack);
        return Err(Fault::TimedOut { limit: overdue.limit, wait: overdue.wait, stack });
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Err(Fault::Busy);
    }
    let fault = match (error.downcast_ref::<I32Exit>(), guest.memory.refusal()) {
        // Exiting with status 0 means success.
        (Some(I32Exit(0)), _) => return guest.call.conclude(Ok(())),
        (Some(I32Exit(status)), _) => Fault::Exited(*status),
        (None, Some(limit)) => return Err(Fault::OutOfMemory { limit, stack }),
        (None, None) => trap(&error, stack, guest),
    };
    guest.explain(&fault);
    Err(guest.call.blame(fault))
}

/// The fault for a trap: with the message of a panic if there is one, or else with wasmtime's message.
fn trap(error: &wasmtime::Error, stack: Stack, guest: &mut Guest) -> Fault {
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return Fault::StackOverflow { stack };
    }
    let is_table_full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
    if is_table_full || phrases::is_out_of_handles(&error.root_cause().to_string()) {
        return Fault::TooManyHandles { stack };
    }
    let reported = guest.call.writer.take_exception().map(|text| String::from_utf8_lossy(&text).into_owned());
    // A panic ends in this instruction.
    let is_panic = trap == Some(&Trap::UnreachableCodeReached);
    let place = stack.filter().map_or_else(String::new, |filter| format!("the filter `{filter}`: "));
    let Some(reason) = reported.or_else(|| guest.guest_log.take_panic().filter(|_| is_panic)) else {
        let reason = trap.map_or_else(|| error.root_cause().to_string(), Trap::to_string);
        return Fault::Trap { reason: place + &reason, stack };
    };
    let stack = match phrases::place_of_panic(&reason) {
        Some(place) => stack.panicked(place),
        None => stack,
    };
    Fault::Trap { reason: place + &reason, stack }
}

/// Where the handler is at this moment.
pub(super) fn stack(store: impl AsContext<Data = Guest>) -> Stack {
    let functions = functions(&WasmBacktrace::force_capture(&store));
    of_store(store, functions)
}

/// The stack of a handler whose component is in these functions.
fn of_store(store: impl AsContext<Data = Guest>, functions: Stack) -> Stack {
    match python(&store) {
        Some(python) => functions.in_filters(python),
        None => functions,
    }
}

/// Where the handler is in Python code, if it is a Python application: the functions of its component are Python's own.
fn python(store: impl AsContext<Data = Guest>) -> Option<Stack> {
    let store = store.as_context();
    store.data().python.as_ref()?.stack(&store)
}

/// Converts wasmtime's backtrace. A function has several frames if others have become parts of it and the component has
/// debug information.
fn functions(backtrace: &WasmBacktrace) -> Stack {
    let frames = backtrace.frames().iter().flat_map(|frame| {
        let symbols = frame.symbols();
        let filter = frame.module().name().and_then(|name| name.strip_prefix(MARK)).map(str::to_owned);
        let frame_of = |at: usize, symbol: Option<&FrameSymbol>| {
            // Debug information has shorter names than the function itself, and only some of them are in full.
            let is_outermost = at + 1 >= symbols.len();
            let own = frame.func_name().filter(|_| is_outermost);
            let function = match own.or_else(|| symbol?.name()) {
                Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
                None => format!("function {}", frame.func_index()),
            };
            let place = symbol.and_then(|symbol| Some(format!("{}:{}", symbol.file()?, symbol.line()?)));
            Frame { filter: filter.clone(), ..Frame::new(function, place) }
        };
        match symbols {
            [] => vec![frame_of(0, None)],
            symbols => symbols.iter().enumerate().map(|(at, symbol)| frame_of(at, Some(symbol))).collect(),
        }
    });
    Stack::new(frames.collect())
}
