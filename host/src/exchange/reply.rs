//! The body of a response, and the handler that writes it.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::{Body, Frame};
use tokio::time::timeout;
use wasmserve_gateway::response::{Cut, Reader};

use super::in_progress::InProgress;
use crate::{
    event::{Event, exchange::Sent},
    fault::Fault,
    handler::lanes::CallFuture,
};

/// A call of a handler, and its progress.
pub(super) struct Progress {
    /// The call, until it ends; `None` for a response from the host.
    call: Option<CallFuture>,
    /// The fault of the call, if it failed.
    fault: Option<Fault>,
    reader: Reader,
}

impl Progress {
    /// A call and the reader of its response.
    pub(super) fn new(call: Option<CallFuture>, reader: Reader) -> Self {
        Self { call, fault: None, reader }
    }

    /// Returns the head, or `None` if the handler ended without one. Then `fault` is set.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Option<http::response::Parts>> {
        self.poll_call(cx);
        match self.reader.poll_head(cx) {
            // The writer is gone, but the call's result has not yet arrived from the other lane.
            Poll::Ready(None) if self.call.is_some() => Poll::Pending,
            head => head,
        }
    }

    /// Where the handler redirected to, if there is no head.
    ///
    /// # Errors
    ///
    /// The fault that is the reason for the missing head.
    pub(super) fn into_redirect(self) -> Result<Bytes, Fault> {
        match (self.fault, self.reader.redirect()) {
            (None, Some(location)) => Ok(location),
            (fault, _) => Err(fault.unwrap_or_else(|| Fault::HostBug("an exchange ended without a result".into()))),
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        // Send what is there before the handler continues.
        if let chunk @ Poll::Ready(None | Some(Ok(_))) = self.reader.poll_chunk(cx) {
            return chunk;
        }
        self.poll_call(cx);
        match self.reader.poll_chunk(cx) {
            Poll::Ready(Some(Err(Cut))) if self.call.is_some() => Poll::Pending,
            chunk => chunk,
        }
    }

    /// Polls the handler until it waits, ends or has computed for a tick.
    fn poll_call(&mut self, cx: &mut Context<'_>) {
        let Some(call) = &mut self.call else { return };
        if let Poll::Ready(result) = poll_or_catch(call, cx) {
            self.call = None;
            self.fault = result.err();
        }
    }

    /// Whether the client got the whole response.
    fn is_complete(&self) -> bool {
        self.reader.is_at_end() || self.reader.is_bodyless()
    }
}

/// Polls a call. A panic in a host function ends this exchange, not the process.
fn poll_or_catch(call: &mut CallFuture, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
    catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *call).poll(cx)))
        .unwrap_or_else(|_| Poll::Ready(Err(Fault::HostBug("a host function panicked".into()))))
}

/// How long a handler may run after its client has left.
const GRACE: Duration = Duration::from_millis(500);

/// The body of a response, which the handler writes while it is read.
pub(crate) struct Reply {
    progress: Progress,
    exchange: InProgress,
    /// Whether the end of a truncated body has been delayed once.
    is_flushed: bool,
}

impl Reply {
    /// Creates the response with this head.
    pub(super) fn new(
        progress: Progress,
        exchange: InProgress,
        mut head: http::response::Parts,
    ) -> http::Response<Self> {
        if let Some(server) = &exchange.exchanges.gateway.server {
            head.headers.entry(header::SERVER).or_insert_with(|| server.clone());
        }
        if exchange.exchanges.is_last(exchange.exchange.id) {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let mut reply = Self { progress, exchange, is_flushed: false };
        reply.exchange.head_sent(head.status.as_u16());
        reply.finish_if_complete();
        http::Response::from_parts(head, reply)
    }

    /// Whether the handler has finished writing the response, even if it has not been read or the handler is still
    /// running.
    #[must_use]
    pub(crate) fn is_finished(&self) -> bool {
        self.progress.reader.is_finished()
    }

    /// Whether the response has no body (rules B9, B10).
    #[must_use]
    pub(crate) fn is_bodyless(&self) -> bool {
        self.progress.reader.is_bodyless()
    }

    /// Gives up on a client that reads nothing, which the handler learns from its next write.
    pub(crate) fn time_out(&mut self) {
        self.progress.reader.time_out();
    }

    /// Ends the exchange if the client got the whole response. The handler may still be running.
    fn finish_if_complete(&mut self) {
        if self.exchange.is_finished() || !self.progress.is_complete() {
            return;
        }
        if let Some(fault) = self.progress.fault.take() {
            self.exchange.failed_afterwards(&fault);
        }
        self.exchange.answered();
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        Poll::Ready(match ready!(this.progress.poll_chunk(cx)) {
            Some(Ok(chunk)) => {
                this.exchange.sent += chunk.len() as u64;
                this.finish_if_complete();
                Some(Ok(Frame::data(chunk)))
            }
            // hyper discards unwritten data when the body fails, so let it write first.
            Some(Err(Cut)) if !this.is_flushed => {
                this.is_flushed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // The client must not take the response for a complete one (rule X3).
            Some(Err(Cut)) => {
                let fault = this.progress.fault.take();
                let fault = fault.unwrap_or_else(|| Fault::HostBug("a response ended without a result".into()));
                this.exchange.failed(&fault);
                this.exchange.aborted();
                Some(Err(fault))
            }
            None => {
                let trailers = this.progress.reader.take_trailers();
                this.finish_if_complete();
                trailers.map(|trailers| Ok(Frame::trailers(trailers)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        // hyper removes the handler's Content-Length if the body has already ended. In a 304 it does not describe this
        // body (rule B10).
        self.exchange.status() != Some(304) && self.progress.reader.is_at_end()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.finish_if_complete();
        if self.exchange.is_finished() {
            self.run_without_client();
        } else if let Some(fault) = self.progress.fault.take() {
            self.exchange.failed(&fault);
            self.exchange.aborted();
        } else {
            self.exchange.aborted();
            if let Some(mut call) = self.progress.call.take() {
                // The handler's next write or read reports that the client is gone (rule K10).
                tokio::spawn(timeout(GRACE, poll_fn(move |cx| poll_or_catch(&mut call, cx))));
            }
        }
    }
}

impl Reply {
    /// Lets the handler run to its end after the client got the whole response, within the same deadline.
    fn run_without_client(&mut self) {
        let Some(mut call) = self.progress.call.take() else { return };
        let (exchange, events) = (self.exchange.exchange.clone(), Arc::clone(&self.exchange.exchanges.events));
        let sent = self.exchange.status().map_or(Sent::Nothing, Sent::All);
        tokio::spawn(async move {
            if let Err(fault) = poll_fn(|cx| poll_or_catch(&mut call, cx)).await {
                events.emit(&Event::Faulted { exchange: &exchange, fault: &fault, sent });
            }
        });
    }
}
