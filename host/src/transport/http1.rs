//! Serves HTTP/1.0 and HTTP/1.1 connections.

mod recorder;
mod state;
mod wire;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, Version, header};
use http_body::Body as _;
use hyper::{body::Incoming, ext::ReasonPhrase, server::conn::http1, service::service_fn};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use wasmserve_gateway::{
    environ::Peer,
    head::Reason,
    input::BoxBody,
    requests,
    response::Takes,
    stream::{Framing, Start},
};

use self::{
    recorder::Recorder,
    state::{Answer, Shared},
    wire::Http1Wire,
};
use super::{
    drain::stopped,
    pace::Pace,
    request_body::{DRAIN_BYTES, Progress, Received},
    socket::Socket,
};
use crate::{
    base::limits::Limits,
    capture::record::Origin,
    exchange::{self, Exchanges, Reply},
};

/// How long a response waits for the end of an unread chunked body, so that the connection can be kept. A client that
/// has already sent it needs no longer.
const CHUNKS_TIMEOUT: Duration = Duration::from_millis(100);

/// Says for how long a connection is kept (RFC 2068 section 19.7.1.1).
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The largest size of hyper's buffers, in bytes.
const BUFFER_MAX: usize = 64 << 10;

/// Serves an HTTP/1 connection.
pub(super) async fn serve(
    socket: Socket,
    accepted: Instant,
    peer: Peer,
    origin: Origin,
    exchanges: Arc<Exchanges>,
    mut drain: watch::Receiver<bool>,
) {
    let limits = exchanges.limits();
    let recorder = exchanges.capture().map(|store| Box::new(Recorder::new(store, origin, peer)));
    let state = Shared::new(limits.request_head(), recorder);
    let stopping = drain.clone();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let is_http_1_0 = request.version() == Version::HTTP_10;
        state.lock().begin_answer(!is_http_1_0);
        let begun = begin(request, peer, &state, limits);
        let begun = begun.map(|begun| (exchange::begin(&exchanges, begun.request), begun.unread, begun.is_last));
        let (state, exchanges, stopping) = (&state, &exchanges, &stopping);
        async move {
            let (begun, unread, is_last) = begun?;
            let mut response = with_reason(begun.answer().await);
            // HTTP/1.0 has no chunks, so a response without a length ends when the connection closes (rule K2).
            let has_length = response.headers().contains_key(header::CONTENT_LENGTH) || response.body().is_bodyless();
            let has_no_end = is_http_1_0 && !has_length;
            state.lock().is_until_close = has_no_end;
            let closes = has_no_end
                || match unread {
                    // A response that closes the connection anyway need not wait.
                    Some(unread) if !response.headers().contains_key(header::CONNECTION) => {
                        unread.closes(state, response.body().is_finished()).await
                    }
                    _ => false,
                };
            if closes {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            let is_kept = !is_last && !response.headers().contains_key(header::CONNECTION) && !*stopping.borrow();
            if let Some(keep_alive) = exchanges.keep_alive().filter(|_| is_kept) {
                response.headers_mut().insert(KEEP_ALIVE, keep_alive.clone());
            }
            if is_http_1_0 && response.headers().contains_key(header::CONNECTION) {
                // hyper adds `keep-alive` beside `close` for HTTP/1.0 clients, unless the response has that version
                // too.
                *response.version_mut() = Version::HTTP_10;
            }
            Ok::<_, Desynchronized>(response.map(|reply| Answer::new(reply, state)))
        }
    });
    let allows_half_close = !exchanges.gateway().abort_on_half_close;
    let mut connection = http1::Builder::new()
        // The wire has its own timer, which tells an idle connection from a slow head.
        .header_read_timeout(None)
        .max_buf_size(BUFFER_MAX)
        // hyper keeps reading during a response, so that it notices a client that is gone (rule K10). The wire hides
        // from it a client that has only closed its sending side (rule K9).
        .half_close(false)
        .title_case_headers(true)
        .serve_connection(Http1Wire::new(socket, state.clone(), limits, allows_half_close, accepted), service);

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
        // hyper treats CONNECT as the start of a tunnel, whatever the response, and leaves the socket open.
        Ok(()) => wire.end().await,
        // The client does not accept the data in flight.
        Err(_) if wire.has_stalled() => wire.reset(),
        // hyper reports a failed response body as a user error.
        Err(error) if error.is_user() && state.lock().is_until_close => wire.reset(),
        // The connection broke. The exchanges report their own ends.
        Err(_) => {}
    }
}

/// hyper read a different head than the one written for it, so no response to this request could be trusted.
#[derive(Debug)]
struct Desynchronized;

impl fmt::Display for Desynchronized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request that hyper read is not the one that was parsed")
    }
}

impl std::error::Error for Desynchronized {}

/// A request, and what decides about its connection.
struct Begun {
    request: exchange::Request,
    unread: Option<Unread>,
    /// Whether the client, or the request, ends the connection.
    is_last: bool,
}

/// Combines the parsed head with the body that hyper provides.
fn begin(
    request: hyper::Request<Incoming>,
    peer: Peer,
    state: &Shared,
    limits: &Limits,
) -> Result<Begun, Desynchronized> {
    let (start, recording) = {
        let mut state = state.lock();
        let start = state.requests.take().filter(|start| is_in_sync(&request, start)).ok_or(Desynchronized)?;
        let recording = state.recorder.as_mut().and_then(|recorder| recorder.take(requests::is_head(&start)));
        (start, recording)
    };
    let Start { head, framing, expects_continue: is_awaited, takes_trailers, is_last, refusal } = start;
    let trailers = if takes_trailers { Takes::Announced } else { Takes::Nothing };
    let content_length = match framing {
        Framing::Length(length) => head.values("content-length").next().map(|_| length),
        Framing::Chunked => None,
    };
    let mut unread = None;
    let body: Option<BoxBody> = match framing {
        Framing::Length(0) => None,
        _ => {
            let body = Received::before_others(request.into_body(), Pace::of_bodies(limits), is_awaited);
            unread = Some(Unread { progress: body.progress(), is_awaited });
            Some(Box::pin(body))
        }
    };
    Ok(Begun {
        request: exchange::Request { head, peer, content_length, body, trailers, refusal, recording },
        unread,
        is_last,
    })
}

/// Whether hyper read the head that was written for it.
fn is_in_sync(request: &hyper::Request<Incoming>, start: &Start) -> bool {
    let length = match start.framing {
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
    };
    request.body().size_hint().exact() == length && (request.method() == Method::HEAD) == requests::is_head(start)
}

/// A body that may not have been read when its response begins.
struct Unread {
    progress: Arc<Progress>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    is_awaited: bool,
}

impl Unread {
    /// Whether the connection must close after the response, and the client should know (rules I6, I11, K5).
    ///
    /// Waits briefly for the end of a chunked body that the handler has not read. A handler in the slow lane may still
    /// own the body when its response is finished.
    async fn closes(&self, state: &Shared, is_finished: bool) -> bool {
        if state.lock().requests.is_body_broken() || self.is_awaited && !self.progress.has_begun() {
            return true;
        }
        // A handler that has not started to read before it responds is unlikely to; it may only need a moment to end.
        let is_unwanted = is_finished || self.progress.is_abandoned() || !self.progress.has_begun();
        let left = state.lock().requests.body_left();
        match left {
            _ if !is_unwanted => false,
            Some(left) => left > DRAIN_BYTES,
            None if !self.progress.is_abandoned() => true,
            None => {
                // What is left shows whether draining finished in time.
                _ = timeout(CHUNKS_TIMEOUT, self.progress.drained()).await;
                state.lock().requests.body_left() != Some(0)
            }
        }
    }
}

/// Passes the reason phrase to hyper (rule S7).
fn with_reason(mut response: http::Response<Reply>) -> http::Response<Reply> {
    if let Some(Reason(reason)) = response.extensions_mut().remove()
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
    response
}
