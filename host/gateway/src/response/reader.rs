//! The transport's end of a response.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;

use super::state::{End, Gone, HIGH_WATER, Head, State, lock, wake};

/// The handler ended without finishing its response, or wrote fewer bytes than declared. The client must not take what
/// it got for a complete response.
#[derive(Clone, Copy, Debug)]
pub struct Cut;

/// The transport's end of a response.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Mutex<State>>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Mutex<State>>) -> Self {
        Self { shared }
    }

    /// Returns the head once it may be sent, or `None` if the handler ended without one.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Option<http::response::Parts>> {
        let mut state = lock(&self.shared);
        if let Head::Sent(head) = &mut state.head {
            return Poll::Ready(head.take());
        }
        if state.end.is_some() {
            return Poll::Ready(None);
        }
        state.on_chunk = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The path and query whose response is to be sent instead, once [`poll_head`](Self::poll_head) has returned `None`.
    #[must_use]
    pub fn redirect(&self) -> Option<Bytes> {
        match &lock(&self.shared).head {
            Head::Redirected(location) => Some(location.clone()),
            _ => None,
        }
    }

    /// Returns the next chunk, or `None` once the response is complete.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        let mut state = lock(&self.shared);
        if let Some(chunk) = state.chunks.pop_front() {
            state.waiting -= chunk.len();
            if state.waiting <= HIGH_WATER {
                wake(&mut state.on_space);
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        match state.end {
            Some(End::Finished) => Poll::Ready(None),
            Some(End::Cut { .. }) => Poll::Ready(Some(Err(Cut))),
            None if state.left == Some(0) => Poll::Ready(None),
            None => {
                state.on_chunk = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Takes the trailers, once [`poll_chunk`](Self::poll_chunk) has reported that the body is complete (rule B13).
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        let mut state = lock(&self.shared);
        let trailers = state.trailers.as_mut().filter(|trailers| trailers.has_any())?;
        Some(trailers.take())
    }

    /// Whether a complete response has been read to its end, even if the handler is still running.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        let state = lock(&self.shared);
        state.chunks.is_empty() && !state.has_trailers() && (state.end == Some(End::Finished) || state.left == Some(0))
    }

    /// Whether the handler has finished writing its response.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        lock(&self.shared).end == Some(End::Finished)
    }

    /// Gives up on a client that reads nothing: the handler learns that it was too slow, not that it left.
    pub fn time_out(&mut self) {
        lock(&self.shared).gone = Some(Gone::TimedOut);
    }

    /// Whether the client gets no body, whatever the handler writes (rules B9, B10).
    #[must_use]
    pub fn is_bodyless(&self) -> bool {
        lock(&self.shared).is_bodyless
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.gone.get_or_insert(Gone::Left);
        state.chunks.clear();
        wake(&mut state.on_space);
    }
}
