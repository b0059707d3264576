//! The one exchange of an instance.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use wasmserve_gateway::{
    Field,
    environ::Var,
    head::{HeadLimits, StartError},
    input::{Input, ReadError},
    request::RequestHead,
    response::{self, EndError, Reader, ResponseRules, Takes, WriteError, Writer},
};

use crate::{
    bindings::wasi::http::types::{IncomingRequest, ResponseOutparam},
    reply::{self, Reply},
    request::{self, Arriving},
};

/// The limits that the server has by default.
const LIMITS: HeadLimits = HeadLimits::DEFAULT;

/// The exchange of this instance. What the handler may not ask for is made when it does.
pub(crate) struct Exchange {
    head: Option<RequestHead>,
    environ: Option<Vec<Var>>,
    input: Option<Input>,
    writer: Writer,
    reader: Reader,
    reply: Reply,
    request: IncomingRequest,
}

impl Exchange {
    pub(crate) fn new(request: IncomingRequest, response: ResponseOutparam) -> Self {
        let rules = ResponseRules { is_head: request::is_head(&request), trailers: Takes::Nothing, limits: LIMITS };
        let (writer, reader) = response::channel(rules);
        Self { head: None, environ: None, input: None, writer, reader, reply: Reply::Unset(response), request }
    }

    pub(crate) fn head(&mut self) -> &RequestHead {
        self.head.get_or_insert_with(|| request::head(&self.request))
    }

    pub(crate) fn environ(&mut self) -> &[Var] {
        let head = self.head.get_or_insert_with(|| request::head(&self.request));
        self.environ.get_or_insert_with(|| request::environ(&self.request, head))
    }

    fn input(&mut self) -> &mut Input {
        self.input.get_or_insert_with(|| {
            let body = Arriving::of(&self.request);
            // How much a client may send is up to the host.
            Input::new(body.map(|body| Box::pin(body) as _), u64::MAX)
        })
    }

    pub(crate) fn read(&mut self, max: u32) -> Result<Bytes, ReadError> {
        self.input().read_blocking(usize::try_from(max).unwrap_or(usize::MAX))
    }

    pub(crate) fn trailers(&mut self) -> Vec<Field> {
        self.input().trailers().to_vec()
    }

    pub(crate) fn start(
        &mut self,
        status: &str,
        fields: Vec<Field>,
        exception: Option<Vec<u8>>,
    ) -> Result<(), StartError> {
        if let Some(text) = &exception {
            // At once, because a trap may follow, after which nothing runs here.
            reply::log(text);
        }
        self.writer.start(status, fields, exception)
    }

    pub(crate) fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.writer.push(chunk)?;
        self.send();
        ready(self.writer.space())
    }

    pub(crate) fn finish(&mut self, last: Bytes) -> Result<(), WriteError> {
        let finished = self.writer.finish(last);
        self.send();
        finished
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.writer.is_connected()
    }

    /// Sends what the handler has written, and waits until the host has taken it.
    fn send(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        if let Reply::Unset(_) = &self.reply
            && let Poll::Ready(Some(head)) = self.reader.poll_head(&mut context)
        {
            self.reply.start(head);
        }
        while let Reply::Open { .. } = &self.reply {
            match self.reader.poll_chunk(&mut context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(chunk))) => {
                    if !self.reply.send(&chunk) {
                        // The client has left, which the handler finds out by this.
                        self.reader = response::channel(ResponseRules {
                            is_head: false,
                            trailers: Takes::Nothing,
                            limits: LIMITS,
                        })
                        .1;
                    }
                }
                Poll::Ready(Some(Err(_))) => self.reply.cut(),
                Poll::Ready(None) => self.reply.finish(),
            }
        }
    }

    /// Ends the exchange, with what the handler returned.
    pub(crate) fn end(mut self, outcome: Result<(), String>) {
        let failure = match outcome {
            Ok(()) => self.writer.end().err().map(|error| match error {
                EndError::NoStartResponse => {
                    ("no-start-response", "the handler returned without a response".to_owned())
                }
                EndError::BadHead(error) => ("bad-response-head", error.to_string()),
                EndError::ShortBody { missing } => {
                    ("short-body", format!("the body lacks {missing} bytes of its Content-Length"))
                }
                // It was logged when it was reported.
                EndError::Exception(_) => ("exception", String::new()),
            }),
            Err(text) => Some(("exception", text)),
        };
        let unsent = self.writer.unsent();
        // Dropping it cuts what it has not finished.
        self.writer = Writer::default();
        self.send();
        if let Some(note) = unsent.body {
            reply::log(note.as_bytes());
        }
        let Some((kind, reason)) = failure else { return };
        if !reason.is_empty() {
            reply::log(format!("{kind}: {reason}").as_bytes());
        }
        // What the handler did with a broken body is the client's fault.
        let (status, kind, why) = match self.input.as_ref().and_then(Input::failure) {
            None => (500, kind, "the handler failed"),
            Some(ReadError::TooLarge) => (413, "body-too-large", "the request body is too large"),
            Some(ReadError::Malformed) => (400, "bad-input", "the request body is malformed"),
            Some(ReadError::TimedOut) => (408, "bad-input", "the request body did not arrive in time"),
            Some(ReadError::Disconnected) => (400, "bad-input", "the request body ended early"),
        };
        self.reply.fail(status, kind, why);
    }
}

/// The result of a future that waits by itself, in a call of the host.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("what it waits for has been sent or read"),
    }
}
