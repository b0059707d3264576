//! The state of a connection of HTTP/1: what has come in, and what is being written.
//!
//! [`Requests`] is the state of reading. That of writing is a [`Phase`], since hyper does not say whose bytes it writes: those of
//! an answer, or its own about a head that it cannot parse. It is driven by what hyper does:
//!
//! ```text
//!          begin (1.1)              written                 over
//!   Idle ───────────────▶ Thinking ─────────▶ Answering ──────────▶ Answered
//!    │                       ▲                    ▲                  │  │  │
//!    │      begin (1.0)      │                    │   begin (1.0)    │  │  │
//!    ├───────────────────────┼────────────────────┴──────────────────┘  │  │
//!    │                       │ flushed             begin (1.1)          │  │
//!    │                     Behind ◀─────────────────────────────────────┘  │
//!    │                              flushed                                │
//!    ◀─────────────────────────────────────────────────────────────────────┘
//! ```

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmserve_gateway::{request::RequestLimits, requests::Requests};

use crate::{base::lock::lock, exchange::Reply, fault::Fault};

/// The state of a connection of HTTP/1.
#[derive(Debug)]
pub(super) struct Http1State {
    /// What has come in, and what hyper reads in its place.
    pub(super) requests: Requests,
    phase: Phase,
    /// Whether the end of the response is the end of the connection (rule K2).
    pub(super) is_until_close: bool,
    /// Whether hyper was told that there is nothing to read while an answer is made, so that it has to ask again after it.
    pub(super) must_read_again: bool,
    /// Whether the client takes its response too slowly.
    pub(super) has_stalled: bool,
}

/// Whose bytes hyper writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// hyper's own: there is no request to answer.
    Idle,
    /// Those of an answer of which nothing is written, to a client that knows interim ones.
    Thinking,
    /// Those of an answer, behind another one that has not left yet. Then it is [`Thinking`](Self::Thinking).
    Behind,
    /// Those of an answer.
    Answering,
    /// Those of an answer of which hyper has everything, but has not flushed it.
    Answered,
}

impl Http1State {
    /// hyper has a request, whose client may get interim responses before the answer.
    pub(super) fn begin_answer(&mut self, may_have_interim: bool) {
        self.phase = match (may_have_interim, self.phase) {
            (false, _) => Phase::Answering,
            (true, Phase::Answered) => Phase::Behind,
            (true, _) => Phase::Thinking,
        };
    }

    /// Something was written: whether it is the first of an answer, before which there may have been interim ones.
    ///
    /// While there is still something of the answer before it to be written, it is that.
    pub(super) fn written(&mut self) -> bool {
        let is_first = self.phase == Phase::Thinking;
        if is_first {
            self.phase = Phase::Answering;
        }
        is_first
    }

    /// hyper has flushed all that it had buffered: whether it has to be told to read again.
    pub(super) fn flushed(&mut self) -> bool {
        match self.phase {
            Phase::Answered => self.phase = Phase::Idle,
            Phase::Behind => self.phase = Phase::Thinking,
            Phase::Idle | Phase::Thinking | Phase::Answering => {}
        }
        let reads_again = self.must_read_again && self.phase == Phase::Idle;
        self.must_read_again &= !reads_again;
        reads_again
    }

    /// Whether the client has sent its request and waits for the answer. What comes then is a reset, which hyper has to know
    /// of, the end of the client's side, or another request.
    pub(super) fn is_answering(&self) -> bool {
        self.phase != Phase::Idle && self.requests.is_between_requests()
    }
}

/// The state, for all that share it: the wire, the service, the body of an answer.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Http1State>>);

impl Shared {
    /// Nothing has come in, and nothing is written.
    pub(super) fn new(limits: RequestLimits) -> Self {
        let requests = Requests::new(limits);
        let state = Http1State {
            requests,
            phase: Phase::Idle,
            is_until_close: false,
            must_read_again: false,
            has_stalled: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Http1State> {
        lock(&self.0)
    }
}

/// The body of an answer, which is over for hyper when this is dropped.
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
    fn nothing_is_written_between_the_pieces_of_the_answer_before() {
        let shared = Shared::new(RequestLimits::DEFAULT);
        let mut state = shared.lock();
        state.begin_answer(true);
        assert!(state.written(), "nothing is before it");
        state.phase = Phase::Answered;
        state.begin_answer(true);
        assert!(!state.written(), "the answer before it has not left yet");
        assert!(state.is_answering());
        state.flushed();
        assert!(state.written() && !state.written());
        state.phase = Phase::Answered;
        state.flushed();
        assert!(!state.is_answering());
    }

    #[test]
    fn hyper_reads_again_once_the_answer_has_left() {
        let shared = Shared::new(RequestLimits::DEFAULT);
        let mut state = shared.lock();
        state.begin_answer(true);
        state.must_read_again = true;
        assert!(!state.flushed(), "the answer is still to come");
        state.phase = Phase::Answered;
        assert!(state.flushed() && !state.flushed());
    }
}
