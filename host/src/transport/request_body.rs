//! Receives request bodies, and drains unread ones.

use std::{
    error::Error as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{runtime::Handle, sync::Notify, time::timeout};
use wasmserve_gateway::input::ReadError;

use super::pace::{Pace, PaceMaker};
use crate::capture::{record::Ending, recording::Recording};

/// A request body that fails when the client sends too slowly.
pub(super) struct Received {
    /// `None` once it has ended.
    body: Option<Incoming>,
    pace: PaceMaker,
    progress: Arc<Progress>,
    /// Where to drain the rest if it is not read. `None` if it need not be drained.
    drain: Option<Handle>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    is_awaited: bool,
    /// What is recorded of the request, if its bytes are not recorded elsewhere.
    recording: Option<Recording>,
}

/// How much of a body has been read, for the code that answers the request.
#[derive(Debug, Default)]
pub(super) struct Progress {
    flags: AtomicU8,
    /// Notified when an unread body has been drained, or when draining gave up.
    drained: Notify,
}

const BEGUN: u8 = 1;
const ABANDONED: u8 = 2;

impl Progress {
    /// Whether anything has read from the body.
    pub(super) fn has_begun(&self) -> bool {
        self.has(BEGUN)
    }

    /// Whether the rest of the body will not be read.
    pub(super) fn is_abandoned(&self) -> bool {
        self.has(ABANDONED)
    }

    /// Ready once when draining has ended. Never ready if the body is read to its end.
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

/// How much of an unread body is drained so that the next request can be read (rule K5), and how long that may take.
pub(super) const DRAIN_BYTES: u64 = 256 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(1);

impl Received {
    /// A body in HTTP/2, where unread streams do not block others.
    pub(super) fn new(body: Incoming, pace: Pace) -> Self {
        Self {
            body: Some(body),
            pace: PaceMaker::new(pace),
            progress: Arc::default(),
            drain: None,
            is_awaited: false,
            recording: None,
        }
    }

    /// A body in HTTP/1, where the next request must wait for it.
    pub(super) fn before_others(body: Incoming, pace: Pace, is_awaited: bool) -> Self {
        let mut received = Self::new(body, pace);
        received.drain = Some(Handle::current());
        received.is_awaited = is_awaited;
        received
    }

    /// Records the body as it is read.
    pub(super) fn recorded(mut self, recording: Option<Recording>) -> Self {
        self.recording = recording;
        self
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
        if let Some(recording) = &this.recording {
            record(recording, frame.as_ref().map(Result::as_ref));
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
        if let Some(recording) = &self.recording {
            record_arrived(recording, &mut body);
        }
        // Do not poll a body that waits for `100 Continue`: that would send it, as if the body were wanted (rule I9).
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

/// Records what was read from a body.
fn record(recording: &Recording, frame: Option<Result<&Frame<Bytes>, &ReadError>>) {
    let now = Instant::now();
    match frame {
        Some(Ok(frame)) => {
            frame.data_ref().into_iter().for_each(|data| recording.received(now, data));
            if let Some(trailers) = frame.trailers_ref() {
                let fields = trailers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
                recording.trailers_received(now, fields);
            }
        }
        // The client may still be sending.
        Some(Err(ReadError::TimedOut)) => {}
        Some(Err(_)) => recording.request_ended(Ending::Broken),
        None => recording.request_ended(Ending::Whole),
    }
}

/// Records what has arrived of a body that is not read any further.
fn record_arrived(recording: &Recording, body: &mut Incoming) {
    let (mut cx, mut left) = (Context::from_waker(Waker::noop()), DRAIN_BYTES);
    while let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut cx) {
        let frame = frame.map(|frame| frame.map_err(|error| read_error(&error)));
        record(recording, frame.as_ref().map(Result::as_ref));
        let Some(Ok(frame)) = frame else { break };
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(rest) = left.checked_sub(length) else { break };
        left = rest;
    }
}

fn read_error(error: &hyper::Error) -> ReadError {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => ReadError::Malformed,
        _ => ReadError::Disconnected,
    }
}
