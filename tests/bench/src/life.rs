//! The life of an instance without a network: store, instantiate, call, drop.
//!
//! Uses the library, as a program that embeds it would.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::{Builder, Runtime};
use wasmserve::{
    Admission, Call, ConcurrencyLimits, Engine, EngineLimits, Event, Events, Exchange, GatewayOptions, Grants, Handler,
    Limits, Listener,
    gateway::{
        environ::Peer,
        forwarded::Forwarded,
        input::{Input, ReadError},
        mounts::Mount,
        request::RequestHead,
        response::{self, Reader, ResponseRules, Takes},
    },
};
use wasmserve_tests::guest;

use crate::exercise::Exercise;

/// A handler that is ready to be called, and a request for it.
pub struct Life {
    runtime: Runtime,
    handler: Box<dyn Handler>,
    admission: Arc<Admission>,
    gateway: Arc<GatewayOptions>,
    events: Arc<Events>,
    head: RequestHead,
    body: Bytes,
    last: u64,
}

impl Life {
    /// Loads the guest of an exercise.
    ///
    /// # Errors
    ///
    /// It cannot be loaded.
    pub fn new(exercise: &Exercise) -> Result<Self> {
        let (engine, _) = Engine::new(&EngineLimits::DEFAULT)?;
        let path = guest::measured(exercise.guest);
        let handler = wasmserve::load(&engine, path, u64::MAX, &Limits::DEFAULT, &Grants::default())?;
        let (head, body) = split(&exercise.request);
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            handler,
            admission: Arc::new(Admission::new(ConcurrencyLimits::of_this_machine())),
            gateway: Arc::new(GatewayOptions::DEFAULT),
            events: Arc::new(Events::new(vec![Arc::new(Ignore)])),
            head: RequestHead::new(head),
            body,
            last: 0,
        })
    }

    /// Calls the handler once, and returns the length of the body in bytes.
    ///
    /// # Errors
    ///
    /// The handler fails, or the response is incomplete.
    pub fn call(&mut self) -> Result<usize> {
        self.last += 1;
        self.runtime.block_on(async {
            let exchange = Exchange::new(self.last, peer(), self.head.clone());
            let slot = self.admission.enter(&exchange).await;
            let slot = slot.ok().context("no place is free although nothing else runs")?;
            let (writer, mut reader) = response::channel(rules());
            let has_body = !self.body.is_empty();
            let call = Call {
                exchange,
                mount: Mount::ROOT,
                forwarded: Forwarded::default(),
                content_length: has_body.then_some(self.body.len() as u64),
                gateway: Arc::clone(&self.gateway),
                allowance: Arc::clone(self.handler.allowance()),
                input: self.input(),
                writer,
                events: Arc::clone(&self.events),
                environ: None,
            };
            if let Err(fault) = self.handler.call(call, slot).await {
                anyhow::bail!("the handler failed: {}", fault.kind());
            }
            read(&mut reader)
        })
    }

    fn input(&self) -> Input {
        let body = Full::new(self.body.clone()).map_err(|never: Infallible| -> ReadError { match never {} });
        Input::new((!self.body.is_empty()).then(|| Box::pin(body) as _), Limits::DEFAULT.body)
    }
}

/// Splits a request into its head, with the empty line, and its body.
#[must_use]
pub fn split(request: &Bytes) -> (Bytes, Bytes) {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").map_or(request.len(), |at| at + 4);
    (request.slice(..end), request.slice(end..))
}

/// The two ends of a connection that does not exist.
#[must_use]
pub fn peer() -> Peer {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Peer { remote: at(50_000), local: at(8000) }
}

/// The response rules for a GET.
#[must_use]
pub fn rules() -> ResponseRules {
    ResponseRules { is_head: false, trailers: Takes::Nothing, limits: Limits::DEFAULT.response_head() }
}

/// Reads a response that has ended, and returns the length of its body.
fn read(reader: &mut Reader) -> Result<usize> {
    let cx = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(Some(head)) = reader.poll_head(cx) else { anyhow::bail!("the response has no head") };
    ensure!(head.status == 200, "the status is {}", head.status);
    let mut length = 0;
    while let Poll::Ready(Some(chunk)) = reader.poll_chunk(cx) {
        length += chunk.ok().context("the body was cut")?.len();
    }
    ensure!(reader.is_at_end(), "the body is incomplete");
    Ok(length)
}

/// Ignores all events.
struct Ignore;

impl Listener for Ignore {
    fn on_event(&self, _: &Event<'_>) {}
}
