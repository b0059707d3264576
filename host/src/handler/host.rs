//! The host functions: what a guest's imports do, each a few words around the gateway.

use std::{
    future::Future,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use wasmtime::{
    StoreContextMut,
    component::{HasSelf, Linker},
};

use super::{
    Call,
    bindings::wasmserve::gateway::{environ as wit_environ, errors, input as wit_input, response as wit_response},
    journal::Journal,
    sandbox::{Memory, Wasi},
    waiting,
};
use crate::{
    gateway::{Field, head::StartError, input::ReadError, response::WriteError},
    roster::Watch,
};

/// Everything that one instance can reach: the data of its store.
pub(super) struct Guest {
    pub(super) call: Call,
    /// What others see of it.
    pub(super) watch: Arc<Watch>,
    pub(super) deadline: Instant,
    pub(super) journal: Journal,
    pub(super) memory: Memory,
    /// Whether somebody was told that no directory is granted: once a process is enough.
    pub(super) missing_dirs_noted: Arc<AtomicBool>,
    /// Made when the guest first touches it.
    pub(super) wasi: Option<Box<Wasi>>,
}

impl Guest {
    pub(super) fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.call.allowance, &self.journal)))
    }

    pub(super) fn note_missing_dirs(&self) {
        if self.call.allowance.grants.dirs.is_empty() && !self.missing_dirs_noted.swap(true, Ordering::Relaxed) {
            self.journal.say("note", b"the handler asked for its directories: none granted; --dir HOST::GUEST would");
        }
    }
}

impl wit_environ::Host for Guest {
    fn get(&mut self, name: String) -> Option<Vec<u8>> {
        self.call.environ().iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_vec())
    }

    fn copy_all(&mut self) -> Vec<Field> {
        self.call.environ().iter().map(|(name, value)| (name.as_ref().to_owned(), value.to_vec())).collect()
    }

    fn headers(&mut self) -> Vec<Field> {
        self.call
            .request
            .fields()
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
            .collect()
    }

    fn raw_head(&mut self) -> Vec<u8> {
        self.call.request.raw().to_vec()
    }
}

impl errors::Host for Guest {
    fn log(&mut self, line: Vec<u8>) {
        self.journal.say("log", &line);
    }
}

/// Links all that the gateway gives to a handler.
///
/// # Errors
///
/// None in practice: it depends on nothing that the user gives.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wit_environ::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    errors::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    link_input(linker)?;
    link_response(linker)
}

type Store<'a> = StoreContextMut<'a, Guest>;
type Waiting<'a, T> = Box<dyn Future<Output = wasmtime::Result<(T,)>> + Send + 'a>;

/// These two interfaces are linked by hand: what waits has to see its store.
fn link_input(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Read = Result<Vec<u8>, wit_input::ReadError>;

    let mut input = linker.instance("wasmserve:gateway/input@0.1.0")?;
    input.func_wrap_async("read", |mut store: Store<'_>, (max,): (u32,)| -> Waiting<'_, Read> {
        Box::new(async move {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            // Whoever waits has to let others look into the store, so it takes along what it works with.
            let mut input = mem::take(&mut store.data_mut().call.input);
            let read = waiting::wait(&mut store, "wasmserve:gateway/input.read", input.read(max)).await;
            store.data_mut().call.input = input;
            Ok((read?.map(Vec::from).map_err(read_error),))
        })
    })?;
    input.func_wrap("trailers", |store: Store<'_>, (): ()| Ok((store.data().call.input.trailers().to_vec(),)))
}

fn link_response(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Started = Result<(), wit_response::StartError>;
    type Written = Result<(), wit_response::WriteError>;

    let mut response = linker.instance("wasmserve:gateway/response@0.1.0")?;
    response.func_wrap(
        "start-response",
        |mut store: Store<'_>, (status, headers, exc_info): (String, Vec<Field>, Option<Vec<u8>>)| {
            let started: Started = store.data_mut().call.writer.start(&status, headers, exc_info).map_err(start_error);
            Ok((started,))
        },
    )?;
    response.func_wrap_async("write", |mut store: Store<'_>, (chunk,): (Vec<u8>,)| -> Waiting<'_, Written> {
        Box::new(async move {
            let writer = &mut store.data_mut().call.writer;
            if let Err(error) = writer.push(Bytes::from(chunk)) {
                return Ok((Err(write_error(error)),));
            }
            let space = writer.space();
            let written = waiting::wait(&mut store, "wasmserve:gateway/response.write", space).await;
            Ok((written?.map_err(write_error),))
        })
    })?;
    response.func_wrap("finish", |mut store: Store<'_>, (last,): (Vec<u8>,)| {
        let finished: Written = store.data_mut().call.writer.finish(Bytes::from(last)).map_err(write_error);
        Ok((finished,))
    })?;
    response.func_wrap("respond", |mut store: Store<'_>, (status, headers, body): (String, Vec<Field>, Vec<u8>)| {
        let writer = &mut store.data_mut().call.writer;
        let started: Started = writer.start(&status, headers, None).map_err(start_error);
        if started.is_ok() {
            // What may be wrong with the body (longer than the Content-Length, a client that is gone) is not the start's.
            _ = writer.finish(Bytes::from(body));
        }
        Ok((started,))
    })?;
    response.func_wrap("connected", |store: Store<'_>, (): ()| Ok((store.data().call.writer.is_connected(),)))
}

fn read_error(error: ReadError) -> wit_input::ReadError {
    match error {
        ReadError::Disconnected => wit_input::ReadError::Disconnected,
        ReadError::Malformed => wit_input::ReadError::Malformed,
        ReadError::TooLarge => wit_input::ReadError::TooLarge,
        ReadError::TimedOut => wit_input::ReadError::TimedOut,
    }
}

fn start_error(error: StartError) -> wit_response::StartError {
    match error {
        StartError::AlreadyStarted => wit_response::StartError::AlreadyStarted,
        StartError::HeadersSent => wit_response::StartError::HeadersSent,
        StartError::BadStatus => wit_response::StartError::BadStatus,
        StartError::BadHeader(what) => wit_response::StartError::BadHeader(what),
        StartError::HopByHop(name) => wit_response::StartError::HopByHop(name),
    }
}

fn write_error(error: WriteError) -> wit_response::WriteError {
    match error {
        WriteError::NotStarted => wit_response::WriteError::NotStarted,
        WriteError::Disconnected => wit_response::WriteError::Disconnected,
        WriteError::PastContentLength => wit_response::WriteError::PastContentLength,
    }
}
