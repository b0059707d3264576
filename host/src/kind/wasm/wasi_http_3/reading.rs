//! The body of a request, which records when the handler waits for it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http_body::{Body, Frame};

use crate::{
    admission::call_stats::{CallStats, Waiting},
    base::stack::Stack,
};

/// A body that is read through a stream. No import is called then, so the wait has the name of the one that returned the
/// stream, and it is not known where the handler reads.
pub(super) struct Reading<B> {
    body: B,
    stats: Arc<CallStats>,
    waiting: Option<Waiting>,
}

impl<B> Reading<B> {
    pub(super) fn new(body: B, stats: &Arc<CallStats>) -> Self {
        Self { body, stats: Arc::clone(stats), waiting: None }
    }
}

impl<B: Body + Unpin> Body for Reading<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_ready() {
            this.waiting = None;
        } else if this.waiting.is_none() {
            let begun = this.stats.begin_wait("wasi:http/types.request.consume-body", Some(Stack::default()));
            this.waiting = Some(begun);
        }
        polled
    }
}
