//! The host functions: what a guest's imports do, each a few words around the gateway.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;

use super::{
    Call,
    bindings::wasmserve::gateway::{
        environ as wit_environ, errors, input as wit_input, response as wit_response, types,
    },
    journal::Journal,
    sandbox::{Memory, Wasi},
};
use crate::{
    fault::{Fault, Limit},
    gateway::{Field, head::StartError, input::ReadError, response::WriteError},
    roster::Watch,
    stack::Stack,
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
    /// Its time is over.
    pub(super) fn overdue(&self, limit: Limit, stack: Stack) -> Fault {
        Fault::TimedOut { limit, wait: self.watch.wait(), stack }
    }

    pub(super) fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.call.allowance, &self.journal)))
    }

    pub(super) fn note_missing_dirs(&self) {
        if self.call.allowance.grants.dirs.is_empty() && !self.missing_dirs_noted.swap(true, Ordering::Relaxed) {
            self.journal.say("note", b"the handler asked for its directories: none granted; --dir HOST::GUEST would");
        }
    }
}

impl types::Host for Guest {}

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

impl wit_input::Host for Guest {
    async fn read(&mut self, max: u32) -> Result<Vec<u8>, wit_input::ReadError> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        self.call.input.read(max).await.map(Vec::from).map_err(|error| match error {
            ReadError::Disconnected => wit_input::ReadError::Disconnected,
            ReadError::Malformed => wit_input::ReadError::Malformed,
            ReadError::TooLarge => wit_input::ReadError::TooLarge,
            ReadError::TimedOut => wit_input::ReadError::TimedOut,
        })
    }

    fn trailers(&mut self) -> Vec<Field> {
        self.call.input.trailers().to_vec()
    }
}

impl errors::Host for Guest {
    fn log(&mut self, line: Vec<u8>) {
        self.journal.say("log", &line);
    }
}

impl wit_response::Host for Guest {
    fn start_response(
        &mut self,
        status: String,
        headers: Vec<Field>,
        exc_info: Option<Vec<u8>>,
    ) -> Result<(), wit_response::StartError> {
        self.call.writer.start(&status, &headers, exc_info).map_err(start_error)
    }

    async fn write(&mut self, chunk: Vec<u8>) -> Result<(), wit_response::WriteError> {
        self.call.writer.write(Bytes::from(chunk)).await.map_err(write_error)
    }

    fn finish(&mut self, last: Vec<u8>) -> Result<(), wit_response::WriteError> {
        self.call.writer.finish(Bytes::from(last)).map_err(write_error)
    }

    fn respond(&mut self, status: String, headers: Vec<Field>, body: Vec<u8>) -> Result<(), wit_response::StartError> {
        self.call.writer.start(&status, &headers, None).map_err(start_error)?;
        // What may be wrong with the body (longer than the Content-Length, a client that is gone) is not the start's.
        _ = self.call.writer.finish(Bytes::from(body));
        Ok(())
    }

    fn connected(&mut self) -> bool {
        self.call.writer.is_connected()
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
