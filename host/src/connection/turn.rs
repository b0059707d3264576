//! Whose octets hyper writes: those of an answer, or its own about a head that it cannot parse.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{exchange::Reply, fault::Fault};

/// Whose turn it is. hyper tells when it has flushed an answer; what it writes before it has the next request is its own.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicU8);

const HYPERS: u8 = 0;
const ANSWERING: u8 = 1;
const ANSWERED: u8 = 2;
/// An answer of which nothing is written, to a client that knows interim ones.
const THINKING: u8 = 3;
/// The same, behind another answer that has not left yet.
const BEHIND: u8 = 4;

impl Turn {
    /// hyper has a request for us, whose client may get interim responses before the answer.
    pub(super) fn begin(&self, may_have_interim: bool) {
        let is_behind = self.0.load(Ordering::Relaxed) == ANSWERED;
        let state = match may_have_interim {
            false => ANSWERING,
            true if is_behind => BEHIND,
            true => THINKING,
        };
        self.0.store(state, Ordering::Relaxed);
    }

    /// Something of the answer is written: whether it is the first of it, before which there may have been interim ones.
    ///
    /// While there is still something of the answer before it to be written, it is that.
    pub(super) fn written(&self) -> bool {
        self.0.compare_exchange(THINKING, ANSWERING, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// hyper has all that it had buffered on its way.
    pub(super) fn flushed(&self) {
        for (before, after) in [(ANSWERED, HYPERS), (BEHIND, THINKING)] {
            _ = self.0.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether hyper says something by itself.
    pub(super) fn is_hypers(&self) -> bool {
        self.0.load(Ordering::Relaxed) == HYPERS
    }
}

/// The body of an answer, which is over for hyper when this is dropped.
pub(super) struct Answer {
    reply: Reply,
    turn: Arc<Turn>,
}

impl Answer {
    pub(super) fn new(reply: Reply, turn: &Arc<Turn>) -> Self {
        Self { reply, turn: Arc::clone(turn) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.turn.0.store(ANSWERED, Ordering::Relaxed);
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
        let turn = Turn::default();
        turn.begin(true);
        assert!(turn.written(), "nothing is before it");
        turn.0.store(ANSWERED, Ordering::Relaxed);
        turn.begin(true);
        assert!(!turn.written(), "the answer before it has not left yet");
        assert!(!turn.is_hypers());
        turn.flushed();
        assert!(turn.written() && !turn.written());
        turn.0.store(ANSWERED, Ordering::Relaxed);
        turn.flushed();
        assert!(turn.is_hypers());
    }
}
