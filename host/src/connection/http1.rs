//! HTTP/1.0 and 1.1.

use std::{
    error::Error as _,
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderValue, Version, header};
use http_body::Body as _;
use hyper::{body::Incoming, ext::ReasonPhrase, server::conn::http1, service::service_fn};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    patience::Pace,
    received::{DRAIN_OCTETS, Progress, Received},
    refusal, stopped,
    tee::{Framing, Tee},
    turn::{Answer, Turn},
    wire::{Wire, lock},
};
use crate::{
    config::Limits,
    exchange::{self, Exchanges, Reply},
    fault::Fault,
    gateway::{environ::Peer, head::Reason, input::BoxBody, request::RequestHead},
};

const FIELDS_ON_STACK: usize = 100;

/// Serves a connection of HTTP/1.
pub(super) async fn serve(
    wire: Box<Wire>,
    accepted: Instant,
    peer: Peer,
    exchanges: Arc<Exchanges>,
    mut drain: watch::Receiver<bool>,
) {
    let limits = exchanges.limits();
    // Whether the end of the response is the end of the connection.
    let is_until_close = AtomicBool::new(false);
    let tee = Arc::<Mutex<Tee>>::default();
    let turn = Arc::<Turn>::default();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let is_http_1_0 = request.version() == Version::HTTP_10;
        turn.begin(!is_http_1_0);
        let begun = begin(request, peer, &tee, limits);
        let begun = begun.map(|(request, unread)| (exchange::begin(&exchanges, request), unread));
        let (tee, turn, is_until_close) = (Arc::clone(&tee), Arc::clone(&turn), &is_until_close);
        async move {
            let (begun, unread) = begun?;
            let mut response = with_reason(begun.answer().await);
            // There are no chunks in HTTP/1.0, so what has no length ends by the close (rule K2).
            let has_length = response.headers().contains_key(header::CONTENT_LENGTH) || response.body().is_bodyless();
            let has_no_end = is_http_1_0 && !has_length;
            is_until_close.store(has_no_end, Ordering::Relaxed);
            if has_no_end || unread.is_some_and(|unread| unread.closes(&tee, response.body().is_said())) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if is_http_1_0 && response.headers().contains_key(header::CONNECTION) {
                // hyper adds `keep-alive` to `close` for clients of HTTP/1.0, unless the response is of that version too.
                *response.version_mut() = Version::HTTP_10;
            }
            Ok::<_, OutOfStep>(response.map(|reply| Answer::new(reply, &turn)))
        }
    });
    let head_max = usize::try_from(limits.head).unwrap_or(usize::MAX);
    let is_half_close_fine = !exchanges.gateway().abort_on_half_close;
    let mut builder = http1::Builder::new();
    // hyper has room for so many on its stack; more are put on the heap, for each request.
    if limits.fields > FIELDS_ON_STACK {
        builder.max_headers(limits.fields);
    }
    let mut connection = builder
        // The wire has a timer of its own, which knows an idle connection from a slow head.
        .header_read_timeout(None)
        .max_header_size(head_max)
        .max_buf_size(head_max.max(64 << 10))
        // hyper goes on reading while an answer is made, so that it learns of a client that is gone (rule K10); the wire does
        // not tell it of one that has only ended its side (rule K9).
        .half_close(false)
        .title_case_headers(true)
        .serve_connection(wire.of_http1(&tee, &turn, limits, is_half_close_fine, accepted), service);

    let ended = tokio::select! {
        result = &mut connection => Some(result),
        () = stopped(&mut drain) => None,
    };
    let result = match ended {
        Some(result) => result,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let mut wire = connection.into_parts().io;
    match result {
        // hyper takes a CONNECT for the beginning of a tunnel, whatever the answer, and leaves the socket open.
        Ok(()) => wire.end().await,
        // Nobody takes what is still on its way.
        Err(_) if wire.has_stalled() => wire.reset(),
        // A body that failed is an error of the one who made it, in hyper's eyes.
        Err(error) if error.is_user() && is_until_close.load(Ordering::Relaxed) => wire.reset(),
        Err(error) => {
            let head = RequestHead::new(lock(&tee).unaccepted());
            if let Some(fault) = refused_on_the_wire(&error, &head, limits) {
                // Rare, and large: a box, so that other connections have no room for it.
                let octets = Box::pin(refusal::octets(exchange::refuse(&exchanges, peer, head, fault))).await;
                // A client that does not read is not waited for any longer than one that does not write.
                _ = timeout(limits.head_timeout, wire.answer_instead(&octets)).await;
            }
        }
    }
}

/// hyper and the tee have read different heads, so that nothing that we would say of this request could be trusted.
#[derive(Debug)]
struct OutOfStep;

impl fmt::Display for OutOfStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the octets of the head are lost")
    }
}

impl std::error::Error for OutOfStep {}

/// Brings together what hyper has parsed and the octets that it has parsed.
fn begin(
    request: hyper::Request<Incoming>,
    peer: Peer,
    tee: &Mutex<Tee>,
    limits: &Limits,
) -> Result<(exchange::Request, Option<Unread>), OutOfStep> {
    let framing = match request.body().size_hint().exact() {
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    };
    let head = lock(tee).take(framing).map(RequestHead::new).ok_or(OutOfStep)?;
    if head.method() != request.method().as_str().as_bytes() {
        return Err(OutOfStep);
    }
    let content_length = match framing {
        Framing::Length(length) => head.values("content-length").next().map(|_| length),
        Framing::Chunked => None,
    };
    let mut unread = None;
    let body: Option<BoxBody> = match framing {
        Framing::Length(0) => None,
        _ => {
            let is_awaited = head.values("expect").next().is_some();
            let body = Received::before_others(request.into_body(), Pace::of_bodies(limits), is_awaited);
            unread = Some(Unread { progress: body.progress(), is_awaited });
            Some(Box::pin(body))
        }
    };
    Ok((exchange::Request { head, peer, content_length, body }, unread))
}

/// A body that may not have been read when its answer begins.
struct Unread {
    progress: Arc<Progress>,
    /// Whether the client waits for `100 Continue` before it sends it.
    is_awaited: bool,
}

impl Unread {
    /// Whether the connection cannot be used after the answer, and the client should know (rules I11, K5).
    ///
    /// A handler on its way through the slow lane still has the body when its answer is said as a whole.
    fn closes(&self, tee: &Mutex<Tee>, is_said: bool) -> bool {
        let is_refused = self.is_awaited && !self.progress.has_begun();
        // A handler that has not begun to read when it answers hardly will; it may need a moment more to end.
        let is_unwanted = is_said || self.progress.is_abandoned() || !self.progress.has_begun();
        is_refused || is_unwanted && lock(tee).body_left() > DRAIN_OCTETS
    }
}

/// Hands the reason phrase on in hyper's own way (rule S7).
fn with_reason(mut response: http::Response<Reply>) -> http::Response<Reply> {
    if let Some(Reason(reason)) = response.extensions_mut().remove()
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
    response
}

/// Why a head was not accepted, if one was there: hyper could not parse it, or it did not come in time (rules X5, T12).
fn refused_on_the_wire(error: &hyper::Error, head: &RequestHead, limits: &Limits) -> Option<Fault> {
    let (status, why) = match error {
        _ if is_timeout(error) && !head.raw().is_empty() => (408, "the request head did not arrive in time".into()),
        error if !error.is_parse() => return None,
        _ if head.target().len() > limits.target => (414, "the request target is too long".into()),
        error if error.is_parse_too_large() => (431, "the request head is too large".into()),
        error => (400, format!("the request head is malformed: {error}").into()),
    };
    Some(Fault::Refused { status, why })
}

fn is_timeout(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}
