//! Stdout as the response: a head, which is parsed, and the body.

use std::{
    future::Future,
    io, mem,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;
use wasmserve_gateway::{
    cgi::{Form, HeadError, HeadReader, Response},
    response::{WriteError, Writer},
};
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

use crate::{base::lock::lock, fault::Fault};

/// How many bytes of the body are held until the program waits or ends: a response that has ended by then gets a
/// Content-Length (rule G9).
const HELD_MAX: usize = 16 << 10;

/// For how long something is held while the program computes.
const HELD_FOR: Duration = Duration::from_millis(50);

/// How many bytes may be written at once.
const CHUNK: usize = 64 << 10;

/// Stdout of a program. Clones write to the same response.
#[derive(Clone)]
pub(super) struct Stdout(Arc<Mutex<State>>);

struct State {
    writer: Writer,
    stage: Stage,
    /// What belongs to the body and was not passed on, and since when there is something.
    held: BytesMut,
    held_since: Option<Instant>,
}

enum Stage {
    Head(HeadReader),
    Body,
    /// The client gets the response to another request, so the rest is dropped.
    Redirected,
    /// The client has left, or the response has ended.
    Closed,
}

impl State {
    /// Takes what the program prints.
    ///
    /// # Errors
    ///
    /// The client has left. Or the head is refused: then the program is stopped, because nothing can come of it.
    fn write(&mut self, bytes: &[u8]) -> StreamResult<()> {
        match &mut self.stage {
            Stage::Head(head) => match head.push(bytes) {
                Ok(None) => {}
                Ok(Some((response, size))) => {
                    self.begin(response)?;
                    self.hold(&bytes[size..]);
                }
                Err(error) => return Err(StreamError::Trap(Fault::BadCgiHead(error).into())),
            },
            Stage::Body => self.hold(bytes),
            Stage::Redirected => {}
            Stage::Closed => return Err(StreamError::Closed),
        }
        Ok(())
    }

    fn begin(&mut self, response: Response) -> StreamResult<()> {
        self.stage = match response {
            Response::Document { status, fields } => match self.writer.start(&status, fields, None) {
                Ok(()) => Stage::Body,
                Err(error) => return Err(StreamError::Trap(Fault::BadResponseHead(error).into())),
            },
            Response::LocalRedirect(location) => {
                self.writer.redirect(location);
                Stage::Redirected
            }
        };
        Ok(())
    }

    fn hold(&mut self, bytes: &[u8]) {
        if !matches!(self.stage, Stage::Body) || bytes.is_empty() {
            return;
        }
        self.held.extend_from_slice(bytes);
        self.held_since.get_or_insert_with(Instant::now);
        if self.held.len() > HELD_MAX {
            self.pass_on();
        }
    }

    /// Passes on what is held.
    fn pass_on(&mut self) {
        self.held_since = None;
        // The writer reports what goes beyond the Content-Length.
        if self.writer.push(mem::take(&mut self.held).freeze()) == Err(WriteError::Disconnected) {
            self.stage = Stage::Closed;
        }
    }
}

impl Stdout {
    /// Stdout that writes this response, whose head may have `limit` bytes.
    pub(super) fn new(writer: Writer, form: Form, limit: u64) -> Self {
        let stage = Stage::Head(HeadReader::new(form, limit));
        Self(Arc::new(Mutex::new(State { writer, stage, held: BytesMut::new(), held_since: None })))
    }

    /// Passes on what is held of the body if the program waits, or has computed for long since.
    pub(super) fn pass_on(&self, is_waiting: bool) {
        let mut state = lock(&self.0);
        if state.held_since.is_some_and(|since| is_waiting || since.elapsed() >= HELD_FOR) {
            state.pass_on();
        }
    }

    /// Passes on the rest, which ends the response unless the program failed. Returns the writer, and what is wrong if
    /// the output ended within its head.
    pub(super) fn end(&self, is_success: bool) -> (Writer, Result<(), HeadError>) {
        let mut state = lock(&self.0);
        let mut result = Ok(());
        match mem::replace(&mut state.stage, Stage::Closed) {
            Stage::Head(head) => result = Err(head.end()),
            Stage::Body if is_success => {
                let last = mem::take(&mut state.held).freeze();
                // The writer reports what is wrong at the end of the call.
                _ = state.writer.finish(last);
            }
            Stage::Body => state.pass_on(),
            Stage::Redirected | Stage::Closed => {}
        }
        (mem::take(&mut state.writer), result)
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

    /// Does nothing, because many languages flush after each line. What is held goes out when the program waits.
    fn flush(&mut self) -> StreamResult<()> {
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

/// Not used by WASI 0.2, which has the streams above.
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
