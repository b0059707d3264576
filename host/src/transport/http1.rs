//! HTTP/1.0 and 1.1.

mod state;
mod wire;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Version, header};
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
    stream::{Framing, Start},
};

use self::{
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
    exchange::{self, Exchanges, Reply},
};

/// How long an answer waits for the end of chunks that are not read, so that the connection can be kept: a client that has sent
/// them needs no longer.
const CHUNKS_TIME: Duration = Duration::from_millis(100);

/// How large hyper's buffers may become.
const BUFFER_MAX: usize = 64 << 10;

/// Serves a connection of HTTP/1.
pub(super) async fn serve(
    socket: Socket,
    accepted: Instant,
    peer: Peer,
    exchanges: Arc<Exchanges>,
    mut drain: watch::Receiver<bool>,
) {
    let limits = exchanges.limits();
    let state = Shared::new(limits.request_head());
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let is_http_1_0 = request.version() == Version::HTTP_10;
        state.lock().begin_answer(!is_http_1_0);
        let begun = begin(request, peer, &state, limits);
        let begun = begun.map(|(request, unread)| (exchange::begin(&exchanges, request), unread));
        let state = &state;
        async move {
            let (begun, unread) = begun?;
            let mut response = with_reason(begun.answer().await);
            // There are no chunks in HTTP/1.0, so what has no length ends by the close (rule K2).
            let has_length = response.headers().contains_key(header::CONTENT_LENGTH) || response.body().is_bodyless();
            let has_no_end = is_http_1_0 && !has_length;
            state.lock().is_until_close = has_no_end;
            let closes = has_no_end
                || match unread {
                    // A response that closes anyhow need not wait.
                    Some(unread) if !response.headers().contains_key(header::CONNECTION) => {
                        unread.closes(state, response.body().is_finished()).await
                    }
                    _ => false,
                };
            if closes {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if is_http_1_0 && response.headers().contains_key(header::CONNECTION) {
                // hyper adds `keep-alive` to `close` for clients of HTTP/1.0, unless the response is of that version too.
                *response.version_mut() = Version::HTTP_10;
            }
            Ok::<_, OutOfStep>(response.map(|reply| Answer::new(reply, state)))
        }
    });
    let is_half_close_fine = !exchanges.gateway().abort_on_half_close;
    let mut connection = http1::Builder::new()
        // The wire has a timer of its own, which knows an idle connection from a slow head.
        .header_read_timeout(None)
        .max_buf_size(BUFFER_MAX)
        // hyper goes on reading while an answer is made, so that it learns of a client that is gone (rule K10); the wire does
        // not tell it of one that has only ended its side (rule K9).
        .half_close(false)
        .title_case_headers(true)
        .serve_connection(Http1Wire::new(socket, state.clone(), limits, is_half_close_fine, accepted), service);

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
        Err(error) if error.is_user() && state.lock().is_until_close => wire.reset(),
        // It has ended where it could not go on; each exchange has its own end.
        Err(_) => {}
    }
}

/// hyper has read another head than the one that was written for it, so that nothing could be trusted that we would say of this
/// request.
#[derive(Debug)]
struct OutOfStep;

impl fmt::Display for OutOfStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is not the request that was parsed")
    }
}

impl std::error::Error for OutOfStep {}

/// Brings together what was parsed and the body that hyper makes of it.
fn begin(
    request: hyper::Request<Incoming>,
    peer: Peer,
    state: &Shared,
    limits: &Limits,
) -> Result<(exchange::Request, Option<Unread>), OutOfStep> {
    let start = state.lock().requests.take().filter(|start| is_in_step(&request, start)).ok_or(OutOfStep)?;
    let Start { head, framing, refusal, .. } = start;
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
    Ok((exchange::Request { head, peer, content_length, body, refusal }, unread))
}

/// Whether hyper has read what was written for it.
fn is_in_step(request: &hyper::Request<Incoming>, start: &Start) -> bool {
    let length = match start.framing {
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
    };
    request.body().size_hint().exact() == length && (request.method() == Method::HEAD) == requests::is_head(start)
}

/// A body that may not have been read when its answer begins.
struct Unread {
    progress: Arc<Progress>,
    /// Whether the client waits for `100 Continue` before it sends it.
    is_awaited: bool,
}

impl Unread {
    /// Whether the connection cannot be used after the answer, and the client should know (rules I6, I11, K5).
    ///
    /// Waits for the end of chunks for a moment, if the handler has left them. A handler on its way through the slow lane still has
    /// the body when its answer is said as a whole.
    async fn closes(&self, state: &Shared, is_finished: bool) -> bool {
        if state.lock().requests.is_body_broken() || self.is_awaited && !self.progress.has_begun() {
            return true;
        }
        // A handler that has not begun to read when it answers hardly will; it may need a moment more to end.
        let is_unwanted = is_finished || self.progress.is_abandoned() || !self.progress.has_begun();
        let left = state.lock().requests.body_left();
        match left {
            _ if !is_unwanted => false,
            Some(left) => left > DRAIN_BYTES,
            None if !self.progress.is_abandoned() => true,
            None => {
                // Whether it was in time shows in what is left.
                _ = timeout(CHUNKS_TIME, self.progress.drained()).await;
                state.lock().requests.body_left() != Some(0)
            }
        }
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
