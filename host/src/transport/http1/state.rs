//! The state of an HTTP/1 connection: what has arrived, and what is being written.
//!
//! [`Requests`] is the state of reading. The state of writing is a [`Phase`], because hyper does not reveal whose bytes
//! it writes: those of a response, or its own response to a head that it cannot parse. The phase follows from what
//! hyper does:
//!
//! ```text
//!          begin (1.1)              written                 over
//!   Idle ───────────────▶ Awaiting ─────────▶ Answering ──────────▶ Answered
//!    │                       ▲                    ▲                  │  │  │
//!    │      begin (1.0)      │                    │   begin (1.0)    │  │  │
//!    ├───────────────────────┼────────────────────┴──────────────────┘  │  │
//!    │                       │ flushed             begin (1.1)          │  │
//!    │                     Queued ◀─────────────────────────────────────┘  │
//!    │                              flushed                                │
//!    ◀─────────────────────────────────────────────────────────────────────┘
//! ```

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmserve_gateway::{request::RequestLimits, requests::Requests};

use super::recorder::Recorder;
use crate::{base::lock::lock, exchange::Reply, fault::Fault};

/// The state of an HTTP/1 connection.
#[derive(Debug)]
pub(super) struct Http1State {
    /// What has arrived, and what hyper reads instead.
    pub(super) requests: Requests,
    phase: Phase,
    /// Records the exchanges, if they are captured.
    pub(super) recorder: Option<Box<Recorder>>,
    /// Whether the response ends when the connection closes (rule K2).
    pub(super) is_until_close: bool,
    /// Whether hyper saw `Pending` from a read during a response, and must be woken to read again after it.
    pub(super) must_read_again: bool,
    /// Whether the client takes its response too slowly.
    pub(super) has_stalled: bool,
}

/// Whose bytes hyper is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// hyper's own: there is no request to answer.
    Idle,
    /// A response of which nothing has been written yet, to a client that supports interim responses.
    Awaiting,
    /// A response queued behind one that has not been flushed. Becomes [`Awaiting`](Self::Awaiting) after that.
    Queued,
    /// A response.
    Answering,
    /// A response that hyper has received in full but not flushed.
    Answered,
}

impl Http1State {
    /// Records that hyper has a request. `may_have_interim` is whether the client supports interim responses.
    pub(super) fn begin_answer(&mut self, may_have_interim: bool) {
        self.phase = match (may_have_interim, self.phase) {
            (false, _) => Phase::Answering,
            (true, Phase::Answered) => Phase::Queued,
            (true, _) => Phase::Awaiting,
        };
    }

    /// Records a write. Returns whether it is the first of a response, which interim responses may precede.
    ///
    /// While the previous response is not flushed, the write belongs to that one.
    pub(super) fn written(&mut self) -> bool {
        let is_first = self.phase == Phase::Awaiting;
        if is_first {
            self.phase = Phase::Answering;
        }
        is_first
    }

    /// Records that hyper has flushed everything. Returns whether hyper must be woken to read again.
    pub(super) fn flushed(&mut self) -> bool {
        match self.phase {
            Phase::Answered => self.phase = Phase::Idle,
            Phase::Queued => self.phase = Phase::Awaiting,
            Phase::Idle | Phase::Awaiting | Phase::Answering => {}
        }
        let reads_again = self.must_read_again && self.phase == Phase::Idle;
        self.must_read_again &= !reads_again;
        reads_again
    }

    /// Whether the client has sent its request and waits for the response. Next it may reset the connection, which
    /// hyper must notice, close its sending side, or send another request.
    pub(super) fn is_answering(&self) -> bool {
        self.phase != Phase::Idle && self.requests.is_between_requests()
    }
}

/// The state as shared by the wire, the service, and the body of a response.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Http1State>>);

impl Shared {
    /// The state of a new connection.
    pub(super) fn new(limits: RequestLimits, recorder: Option<Box<Recorder>>) -> Self {
        let requests = Requests::new(limits);
        let state = Http1State {
            requests,
            phase: Phase::Idle,
            recorder,
            is_until_close: false,
            must_read_again: false,
            has_stalled: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Http1State> {
        lock(&self.0)
    }

    /// Records that the system has accepted the first `length` bytes of these parts.
    pub(super) fn sent(&self, parts: &[io::IoSlice<'_>], mut length: usize) {
        if let Some(recorder) = &mut self.lock().recorder {
            let at = Instant::now();
            for part in parts {
                let accepted = &part[..part.len().min(length)];
                length -= accepted.len();
                recorder.sent(at, accepted);
            }
        }
    }

    /// Records what the client sent after the last request, or after our side has closed.
    pub(super) fn ignored(&self, bytes: &[u8]) {
        if let Some(recorder) = &mut self.lock().recorder {
            recorder.ignored(Instant::now(), bytes);
        }
    }

    /// Records that the client has closed its side, or that the connection broke.
    pub(super) fn ended(&self, is_broken: bool) {
        if let Some(recorder) = &mut self.lock().recorder {
            if is_broken { recorder.broke() } else { recorder.closed() }
        }
    }
}

/// The body of a response. When hyper drops it, the response is complete for hyper.
pub(super) struct Answer {
    reply: Reply,
    state: Shared,
}

impl Answer {
    pub(super) fn new(reply: Reply, state: &Shared) -> Self {
        Self { reply, state: state.clone() }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.phase = Phase::Answered;
        if state.has_stalled {
            self.reply.time_out();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        Pin::new(&mut self.reply).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.reply.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reply.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_responses_are_not_written_into_the_previous_response() {
        let shared = Shared::new(RequestLimits::DEFAULT, None);
        let mut state = shared.lock();
        state.begin_answer(true);
        assert!(state.written(), "no response precedes it");
        state.phase = Phase::Answered;
        state.begin_answer(true);
        assert!(!state.written(), "the previous response has not been flushed yet");
        assert!(state.is_answering());
        state.flushed();
        assert!(state.written() && !state.written());
        state.phase = Phase::Answered;
        state.flushed();
        assert!(!state.is_answering());
    }

    #[test]
    fn hyper_reads_again_once_the_response_is_flushed() {
        let shared = Shared::new(RequestLimits::DEFAULT, None);
        let mut state = shared.lock();
        state.begin_answer(true);
        state.must_read_again = true;
        assert!(!state.flushed(), "the response is still to come");
        state.phase = Phase::Answered;
        assert!(state.flushed() && !state.flushed());
    }
}
