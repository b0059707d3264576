//! What a component exports that is a filter: each call goes to the [`Stage`].

use std::{cell::OnceCell, panic, rc::Rc, thread::LocalKey};

use super::{
    Filter, Options, Stage,
    bindings::exports::wasmserve::gateway::{environ, errors, filter, input, response},
};
use crate::{
    ReadError, StartError, WriteError,
    entry::unbuffer_stdout,
    gateway::{Fields, Gateway, Host, Layer as _},
    handler::{flush_stdout, report},
};

/// Where the filter of the instance's one exchange is.
pub type Place<F> = OnceCell<Rc<Shown<F>>>;

/// A stage, which only this crate can look into.
pub struct Shown<F>(Stage<F>);

/// What `filter!` implements.
pub trait Exports {
    /// The filter.
    type Filter: Filter;

    /// Whether the component is a program, and has a `main`.
    const IS_PROGRAM: bool;

    /// Where the filter is kept.
    fn stage() -> &'static LocalKey<Place<Self::Filter>>;
}

/// Calls a function with the stage.
fn with<E: Exports, T>(call: impl FnOnce(&Stage<E::Filter>) -> T) -> T {
    // Not borrowed during the call, in which the thread's values may be needed.
    let stage = E::stage().with(|stage| stage.get().map(Rc::clone));
    call(&stage.expect("the host configures a filter before all else").0)
}

impl<E: Exports> filter::Guest for E {
    fn configure(settings: Vec<filter::Setting>) -> Result<(), String> {
        if E::IS_PROGRAM {
            unbuffer_stdout();
        }
        panic::set_hook(Box::new(report));
        let stage = Stage::new(&Options::new(settings), &Gateway::new(Host))?;
        let _ = E::stage().with(|place| place.set(Rc::new(Shown(stage))));
        Ok(())
    }

    fn before() -> Result<filter::Decision, String> {
        let is_forwarded = with::<E, _>(Stage::before)?;
        Ok(if is_forwarded { filter::Decision::Forward } else { filter::Decision::Answered })
    }

    fn after(outcome: Result<(), String>) -> Result<(), String> {
        let outcome = with::<E, _>(|stage| stage.after(outcome));
        flush_stdout();
        outcome
    }
}

impl<E: Exports> environ::Guest for E {
    fn get(name: String) -> Option<Vec<u8>> {
        with::<E, _>(|stage| stage.get(&name))
    }

    fn copy_all() -> Fields {
        with::<E, _>(Stage::copy_all)
    }

    fn headers() -> Fields {
        with::<E, _>(Stage::headers)
    }

    fn raw_head() -> Vec<u8> {
        Host.raw_head()
    }
}

impl<E: Exports> input::Guest for E {
    fn read(max: u32) -> Result<Vec<u8>, input::ReadError> {
        with::<E, _>(|stage| stage.read(max)).map_err(|error| match error {
            ReadError::Disconnected => input::ReadError::Disconnected,
            ReadError::Malformed => input::ReadError::Malformed,
            ReadError::TooLarge => input::ReadError::TooLarge,
            ReadError::TimedOut => input::ReadError::TimedOut,
        })
    }

    fn trailers() -> Fields {
        with::<E, _>(|stage| stage.trailers())
    }
}

impl<E: Exports> errors::Guest for E {
    fn log(line: Vec<u8>) {
        with::<E, _>(|stage| stage.log(line));
    }
}

impl<E: Exports> response::Guest for E {
    fn start_response(status: String, headers: Fields, exc_info: Option<Vec<u8>>) -> Result<(), response::StartError> {
        let started = with::<E, _>(|stage| stage.start_response(&status, &borrowed(&headers), exc_info.as_deref()));
        started.map_err(start_error)
    }

    fn write(chunk: Vec<u8>) -> Result<(), response::WriteError> {
        with::<E, _>(|stage| stage.write(&chunk, false)).map_err(write_error)
    }

    fn finish(last: Vec<u8>) -> Result<(), response::WriteError> {
        with::<E, _>(|stage| stage.write(&last, true)).map_err(write_error)
    }

    fn respond(status: String, headers: Fields, body: Vec<u8>) -> Result<(), response::StartError> {
        with::<E, _>(|stage| stage.respond(&status, &borrowed(&headers), &body)).map_err(start_error)
    }

    fn connected() -> bool {
        Host.connected()
    }
}

fn borrowed(headers: &Fields) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (&**name, &**value)).collect()
}

fn start_error(error: StartError) -> response::StartError {
    match error {
        StartError::AlreadyStarted => response::StartError::AlreadyStarted,
        StartError::HeadersSent => response::StartError::HeadersSent,
        StartError::BadStatus => response::StartError::BadStatus,
        StartError::BadHeader(what) => response::StartError::BadHeader(what),
        StartError::HopByHop(name) => response::StartError::HopByHop(name),
    }
}

fn write_error(error: WriteError) -> response::WriteError {
    match error {
        WriteError::NotStarted => response::WriteError::NotStarted,
        WriteError::Disconnected => response::WriteError::Disconnected,
        WriteError::PastContentLength => response::WriteError::PastContentLength,
        WriteError::TimedOut => response::WriteError::TimedOut,
    }
}
