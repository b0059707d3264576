//! A request body as it comes in.

use std::{
    error::Error as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{runtime::Handle, sync::Notify, time::timeout};
use wasmserve_gateway::input::ReadError;

use super::pace::{Pace, PaceMaker};

/// A request body, given up when the client sends too slowly.
pub(super) struct Received {
    /// `None` once it has ended.
    body: Option<Incoming>,
    pace: PaceMaker,
    progress: Arc<Progress>,
    /// Where the rest of it is taken off the wire if nobody reads it.
    drain: Option<Handle>,
    /// Whether the client waits for `100 Continue` before it sends it.
    is_awaited: bool,
}

/// How far a body has been read, for the one who answers.
#[derive(Debug, Default)]
pub(super) struct Progress {
    flags: AtomicU8,
    /// Notified when the rest of a body that is not read was taken off the wire, or as much of it as is taken.
    drained: Notify,
}

const BEGUN: u8 = 1;
const ABANDONED: u8 = 2;

impl Progress {
    /// Whether anybody has asked for it.
    pub(super) fn has_begun(&self) -> bool {
        self.has(BEGUN)
    }

    /// Whether nobody will ask for the rest of it.
    pub(super) fn is_abandoned(&self) -> bool {
        self.has(ABANDONED)
    }

    /// Ready when no more of it is taken off the wire, once; never if it is read to its end.
    pub(super) async fn drained(&self) {
        self.drained.notified().await;
    }

    fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    fn set(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::Relaxed);
    }
}

/// How much of a body that nobody has read is taken off the wire, so that the next request can be reached (rule K5), and
/// how long that may take.
pub(super) const DRAIN_BYTES: u64 = 256 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(1);

impl Received {
    /// A body of HTTP/2, where a stream that is not read is none of the others' business.
    pub(super) fn new(body: Incoming, pace: Pace) -> Self {
        Self { body: Some(body), pace: PaceMaker::new(pace), progress: Arc::default(), drain: None, is_awaited: false }
    }

    /// A body of HTTP/1, which the next request has to wait for.
    pub(super) fn before_others(body: Incoming, pace: Pace, is_awaited: bool) -> Self {
        let mut received = Self::new(body, pace);
        received.drain = Some(Handle::current());
        received.is_awaited = is_awaited;
        received
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.progress.set(BEGUN);
        let frame = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(|error| read_error(&error))),
            Poll::Pending => {
                ready!(this.pace.poll_too_slow(cx));
                Some(Err(ReadError::TimedOut))
            }
        };
        if let Some(Ok(frame)) = &frame {
            this.pace.moved(frame.data_ref().map_or(0, Bytes::len));
        }
        if !matches!(frame, Some(Ok(_))) {
            this.body = None;
        }
        Poll::Ready(frame)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        self.progress.set(ABANDONED);
        // To ask for a body that waits for `100 Continue` would be to promise that it is wanted (rule I9).
        if let Some(runtime) = self.drain.take().filter(|_| self.progress.has_begun() || !self.is_awaited) {
            let progress = Arc::clone(&self.progress);
            runtime.spawn(async move {
                _ = timeout(DRAIN_TIME, async {
                    let mut left = DRAIN_BYTES;
                    while let Some(Ok(frame)) = body.frame().await {
                        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                        let Some(rest) = left.checked_sub(length) else { break };
                        left = rest;
                    }
                })
                .await;
                progress.drained.notify_one();
            });
        }
    }
}

fn read_error(error: &hyper::Error) -> ReadError {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => ReadError::Malformed,
        _ => ReadError::Disconnected,
    }
}
