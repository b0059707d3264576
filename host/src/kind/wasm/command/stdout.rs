//! Stdout as the response: a head, which is parsed, and the body.

use std::{
    future::Future,
    io, mem,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;
use wasmserve_gateway::{
    cgi::{self, HeadError, HeadReader},
    response::{WriteError, Writer},
};
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

use crate::base::lock::lock;

/// How many bytes of the body are held until the program waits or ends. A response that is shorter gets a Content-Length.
const HELD: usize = 16 << 10;

/// How many bytes may be written at once.
const CHUNK: usize = 64 << 10;

/// Stdout of a program. Clones write to the same response.
#[derive(Clone)]
pub(super) struct Stdout(Arc<Mutex<State>>);

struct State {
    writer: Writer,
    stage: Stage,
    /// What belongs to the body and was not passed on.
    held: BytesMut,
}

enum Stage {
    Head(HeadReader),
    Body,
    /// The rest is dropped: the client has left, or the head was rejected by the writer, which reports it.
    Closed,
    Malformed(HeadError),
}

impl State {
    fn write(&mut self, bytes: &[u8]) -> StreamResult<()> {
        match &mut self.stage {
            Stage::Head(head) => match head.push(bytes) {
                Ok(None) => return Ok(()),
                Ok(Some(head)) => self.begin(head),
                Err(error) => self.stage = Stage::Malformed(error),
            },
            Stage::Body => self.held.extend_from_slice(bytes),
            Stage::Closed | Stage::Malformed(_) => {}
        }
        if self.held.len() > HELD {
            self.flush();
        }
        match self.stage {
            Stage::Head(_) | Stage::Body => Ok(()),
            Stage::Closed | Stage::Malformed(_) => Err(StreamError::Closed),
        }
    }

    fn begin(&mut self, head: cgi::Head) {
        let (status, fields) = match head.response {
            cgi::Response::Document { status, fields } => (status, fields),
            cgi::Response::LocalRedirect(path) => ("302 Found".to_owned(), vec![("Location".to_owned(), path)]),
        };
        self.stage = match self.writer.start(&status, fields, None) {
            Ok(()) => Stage::Body,
            Err(_) => Stage::Closed,
        };
        self.held.extend_from_slice(&head.rest);
    }

    /// Passes on what is held.
    fn flush(&mut self) {
        let held = mem::take(&mut self.held).freeze();
        // What goes beyond the Content-Length is cut off, which the writer reports.
        if matches!(self.stage, Stage::Body) && self.writer.push(held) == Err(WriteError::Disconnected) {
            self.stage = Stage::Closed;
        }
    }
}

impl Stdout {
    /// Stdout that writes this response, whose head may have `limit` bytes.
    pub(super) fn new(writer: Writer, limit: u64) -> Self {
        let head = HeadReader::new(usize::try_from(limit).unwrap_or(usize::MAX));
        Self(Arc::new(Mutex::new(State { writer, stage: Stage::Head(head), held: BytesMut::new() })))
    }

    /// Passes on what is held of the body.
    pub(super) fn flush(&self) {
        let mut state = lock(&self.0);
        if !state.held.is_empty() {
            state.flush();
        }
    }

    /// Ends the response if the program succeeded, and returns its writer; also what is wrong with the head, if anything.
    pub(super) fn end(&self, is_success: bool) -> (Writer, Option<HeadError>) {
        let mut state = lock(&self.0);
        let mut error = None;
        match mem::replace(&mut state.stage, Stage::Closed) {
            Stage::Head(head) if is_success => error = Some(head.end()),
            Stage::Malformed(malformed) => error = Some(malformed),
            Stage::Body if is_success => {
                let last = mem::take(&mut state.held).freeze();
                // The writer reports what is wrong at the end of the call.
                _ = state.writer.finish(last);
            }
            Stage::Body => {
                state.stage = Stage::Body;
                state.flush();
            }
            Stage::Head(_) | Stage::Closed => {}
        }
        (mem::take(&mut state.writer), error)
    }

    fn space(&self) -> impl Future<Output = Result<(), WriteError>> + Send + use<> {
        lock(&self.0).writer.space()
    }
}

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdout {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stdout {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        lock(&self.0).write(&bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        // Most languages flush after each line. What is held goes out when the program waits.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match pin!(self.space()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Ok(CHUNK),
            Poll::Ready(Err(_)) => Err(StreamError::Closed),
            Poll::Pending => Ok(0),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdout {
    async fn ready(&mut self) {
        // An error is reported by the next write.
        _ = self.space().await;
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = lock(&self.0).write(bytes);
        Poll::Ready(written.map(|()| bytes.len()).map_err(|error| io::Error::other(error.to_string())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
