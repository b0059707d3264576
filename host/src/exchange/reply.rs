//! The body of a response, and the handler that makes it.

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

use super::entry::Entry;
use crate::{
    fault::Fault,
    gateway::response::{Cut, Reader},
    handler::Ongoing,
    record::Event,
};

/// A handler, and what has come of it so far.
pub(super) struct Running {
    /// The handler, until it ends.
    pub(super) call: Option<Ongoing>,
    /// How it ended, if not well.
    pub(super) fault: Option<Fault>,
    pub(super) reader: Reader,
}

impl Running {
    /// The head, or `None` if the handler ended without one. The fault then tells why.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Option<http::response::Parts>> {
        self.go_on(cx);
        match self.reader.poll_head(cx) {
            // Its writer is gone, but how it ended is still on its way from the other lane.
            Poll::Ready(None) if self.call.is_some() => Poll::Pending,
            head => head,
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        // What is there goes out before the handler may go on.
        if let chunk @ Poll::Ready(None | Some(Ok(_))) = self.reader.poll_chunk(cx) {
            return chunk;
        }
        self.go_on(cx);
        match self.reader.poll_chunk(cx) {
            Poll::Ready(Some(Err(Cut))) if self.call.is_some() => Poll::Pending,
            chunk => chunk,
        }
    }

    /// Lets the handler go on until it waits, ends or has computed for a tick.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        let Some(call) = &mut self.call else { return };
        if let Poll::Ready(result) = poll_or_catch(call, cx) {
            self.call = None;
            self.fault = result.err();
        }
    }
}

/// A panic in a host function ends this exchange, not the process.
fn poll_or_catch(call: &mut Ongoing, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
    catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *call).poll(cx)))
        .unwrap_or_else(|_| Poll::Ready(Err(Fault::HostBug("a host function panicked".into()))))
}

/// How long a handler may go on when its client has left.
const GRACE: Duration = Duration::from_millis(500);

/// The body of a response, which the handler makes while it is read.
pub struct Reply {
    pub(super) running: Running,
    pub(super) entry: Entry,
    /// Whether the end of a body that is cut was held back once.
    pub(super) is_flushed: bool,
}

impl Reply {
    /// Whether all of it was said by the handler, even if it has not been read or the handler goes on.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.running.reader.is_said()
    }

    /// Whether no octet of a body follows (rules B9, B10).
    #[must_use]
    pub fn is_bodyless(&self) -> bool {
        self.running.reader.is_bodyless()
    }

    pub(super) fn with_head(mut self, mut parts: http::response::Parts) -> http::Response<Self> {
        if let Some(server) = &self.entry.exchanges.gateway.server {
            parts.headers.entry(header::SERVER).or_insert_with(|| server.clone());
        }
        if self.entry.id >= self.entry.exchanges.last {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.entry.status = Some(parts.status.as_u16());
        http::Response::from_parts(parts, self)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        Poll::Ready(match ready!(this.running.poll_chunk(cx)) {
            Some(Ok(chunk)) => {
                this.entry.sent += chunk.len() as u64;
                Some(Ok(Frame::data(chunk)))
            }
            // hyper throws away what it has not written when it learns of a failure, so it gets to write first.
            Some(Err(Cut)) if !this.is_flushed => {
                this.is_flushed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Whoever gets this must not take the response for a complete one (rule X3).
            Some(Err(Cut)) => {
                let fault = this.running.fault.clone();
                Some(Err(fault.unwrap_or_else(|| Fault::HostBug("a response without an end".into()))))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        // hyper takes the handler's Content-Length out of a response whose body has ended already. In a 304 it is not about
        // this body (rule B10).
        self.entry.status != Some(304) && self.running.reader.is_at_end()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let Running { call, fault, reader } = &mut self.running;
        let is_complete = reader.is_at_end() || reader.is_bodyless();
        if let Some(fault) = fault.take() {
            self.entry.tell(fault);
        } else if !is_complete {
            self.entry.status = None;
            if let Some(mut call) = call.take() {
                // The handler's next write or read tells it that the client is gone (rule K10).
                tokio::spawn(timeout(GRACE, poll_fn(move |cx| poll_or_catch(&mut call, cx))));
            }
        } else if let Some(mut call) = call.take() {
            // The client has its answer; what the handler still has to do is its own affair, within the same deadline.
            let (id, request, record) = (self.entry.id, self.entry.request.clone(), Arc::clone(self.entry.record()));
            tokio::spawn(async move {
                if let Err(fault) = poll_fn(|cx| poll_or_catch(&mut call, cx)).await {
                    record.tell(Event::Faulted { id, request, fault });
                }
            });
        }
    }
}
