//! The request body as stdin.

use std::{
    future::{Future as _, poll_fn},
    io, mem,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use wasmserve_gateway::input::{Input, ReadError};
use wasmtime_wasi::{
    cli::{IsTerminal, StdinStream},
    p2::{InputStream, Pollable, StreamError, StreamResult},
};

use crate::base::lock::lock;

/// How much of the body is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// Stdin of a program. Clones read from the same body.
#[derive(Clone)]
pub(super) struct Stdin(Arc<Mutex<State>>);

struct State {
    input: Input,
    /// What was read from the body but not by the program; empty at the end of the body.
    read: Option<Result<Bytes, ReadError>>,
}

impl State {
    /// Ready when something can be read, or never will be.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.read.is_none() {
            match pin!(self.input.read(CHUNK)).poll(cx) {
                Poll::Ready(read) => self.read = Some(read),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

impl Stdin {
    /// Stdin that reads this body.
    pub(super) fn new(input: Input) -> Self {
        Self(Arc::new(Mutex::new(State { input, read: None })))
    }

    /// The body, for which error ended it.
    pub(super) fn take(&self) -> Input {
        mem::take(&mut lock(&self.0).input)
    }
}

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Stdin {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut state = lock(&self.0);
        // Who waits registers a waker in `ready`.
        _ = state.poll(&mut Context::from_waker(Waker::noop()));
        match &mut state.read {
            None => Ok(Bytes::new()),
            Some(Ok(data)) if data.is_empty() => Err(StreamError::Closed),
            Some(Ok(data)) => {
                let part = data.split_to(data.len().min(size));
                if data.is_empty() {
                    state.read = None;
                }
                Ok(part)
            }
            Some(Err(error)) => {
                let error = wasmtime::Error::msg(format!("the body of the request ended early: {error:?}"));
                Err(StreamError::LastOperationFailed(error))
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {
        poll_fn(|cx| lock(&self.0).poll(cx)).await;
    }
}

impl AsyncRead for Stdin {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if lock(&self.0).poll(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(match self.get_mut().read(buffer.remaining()) {
            Ok(data) => {
                buffer.put_slice(&data);
                Ok(())
            }
            Err(StreamError::Closed) => Ok(()),
            Err(error) => Err(io::Error::other(error.to_string())),
        })
    }
}
