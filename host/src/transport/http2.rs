//! Serves HTTP/2 connections without TLS, with prior knowledge (RFC 9113 section 3.3).

pub(crate) mod client;
mod frames;
mod head;
mod open;
mod recorder;
mod wire;

use std::{
    convert::Infallible,
    future::{Future as _, ready},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::header;
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};
use wasmserve_gateway::{environ::Peer, input::BoxBody, response::Takes};

use self::{
    frames::Frames,
    open::{Exchange, Open},
    recorder::{Recorder, Sent},
    wire::Http2Wire,
};
use super::{drain::stopped, pace::Pace, preface::PREFACE, request_body::Received, socket::Socket};
use crate::{
    capture::record::Origin,
    exchange::{self, Exchanges, Reply},
    fault::Fault,
};

/// Concurrent exchanges per connection. More are refused, and the client may retry them.
const STREAMS_MAX: u32 = 100;

/// Exchanges that a client may reset before they begin, which costs it nothing (CVE-2023-44487).
const RESETS_MAX: usize = 20;

/// Streams that a client may make us reset (CVE-2025-8671, "MadeYouReset"). Streams beyond [`STREAMS_MAX`] count too,
/// and a client that does not know that limit yet may open many at once.
const ERRORS_MAX: usize = 1024;

/// The size of the table of a client's fields, in bytes: the initial value of RFC 9113 section 6.5.2.
const TABLE: u32 = 4 << 10;

/// The largest frame, which is held in memory as a whole: the minimum allowed by RFC 9113 section 4.2.
const FRAME_MAX: u32 = 16 << 10;

/// Bytes that a client may send before they are read: of one body, and of all together (rule I13).
const STREAM_WINDOW: u32 = 64 << 10;
const WINDOW: u32 = 1 << 20;

/// Bytes of one exchange that may wait for the client, besides what the gateway holds (rule B8).
const SENT_MAX: usize = 64 << 10;

/// How long a connection may have no exchange, how often the client is pinged, and how long it may take to respond.
const IDLE: Duration = Duration::from_secs(60);
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);

/// Serves an HTTP/2 connection.
pub(super) async fn serve(
    socket: Socket,
    peer: Peer,
    origin: Origin,
    exchanges: Arc<Exchanges>,
    mut drain: watch::Receiver<bool>,
) {
    let limits = exchanges.limits();
    let open = Arc::new(Open::new(Instant::now()));
    let (flushes, mut requested) = mpsc::unbounded_channel();
    let recorder = exchanges.capture().map(|store| Recorder::new(store, origin, peer));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (exchange, flushes) = (open.begin(), flushes.clone());
        let request = begin(request, peer, Pace::of_bodies(limits), recorder.as_ref());
        let recording = request.recording.clone();
        let begun = exchange::begin(&exchanges, request);
        async move {
            let mut response = begun.answer().await;
            // HTTP/2 has no Connection field (RFC 9113 section 8.2.2); the end of the stream ends the response.
            response.headers_mut().remove(header::CONNECTION);
            let sent = recording.map(|recording| Sent::begin(recording, &response));
            Ok::<_, Infallible>(response.map(|reply| Streamed { reply, flushes, failure: None, sent, exchange }))
        }
    });
    // Set every limit explicitly, because hyper's defaults may change.
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_local_error_reset_streams(ERRORS_MAX)
            .header_table_size(TABLE)
            .max_header_list_size(list_max(limits.head))
            .max_frame_size(FRAME_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .adaptive_window(false)
            .max_send_buf_size(SENT_MAX)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .serve_connection(Http2Wire::new(socket, Frames::after(PREFACE.len()), &open), service)
    );
    let mut pending: Vec<oneshot::Sender<()>> = Vec::new();
    let (mut idle, mut end) = (pin!(idle(&open)), pin!(sleep(Duration::MAX)));
    let mut is_closing = false;
    // The result of the connection does not matter here: each exchange reports its own end.
    loop {
        tokio::select! {
            // Poll the connection first, so that it flushes before those that asked for a flush are notified.
            biased;
            _ = connection.as_mut() => break,
            () = ready(()), if !pending.is_empty() => pending.drain(..).for_each(|flushed| _ = flushed.send(())),
            Some(flushed) = requested.recv() => pending.push(flushed),
            () = stopped(&mut drain), if !is_closing => {
                connection.as_mut().graceful_shutdown();
                is_closing = true;
            }
            () = idle.as_mut(), if !is_closing => {
                connection.as_mut().graceful_shutdown();
                is_closing = true;
                end.set(sleep(PONG));
            }
            // Do not wait for a client that does not even read the GOAWAY, unless an exchange has begun in the
            // meantime.
            () = end.as_mut(), if is_closing => match open.has_any() {
                true => end.set(sleep(PONG)),
                false => break,
            }
        }
    }
}

/// Ready when there has been no exchange for [`IDLE`].
async fn idle(open: &Open) {
    loop {
        match open.time_left(IDLE, Instant::now()) {
            Duration::ZERO => break,
            left => sleep(left).await,
        }
    }
}

/// The limit for heads given to h2. h2 answers larger heads itself, without an exchange for the log. So it accepts
/// twice as much, and [`RequestHead::check`](wasmserve_gateway::request::RequestHead::check) refuses.
fn list_max(head: u64) -> u32 {
    u32::try_from(head * 2).unwrap_or(u32::MAX)
}

/// Requests a flush of the connection. The sender is notified once everything given to hyper before has been sent, as
/// far as the client accepts it.
type Flushes = mpsc::UnboundedSender<oneshot::Sender<()>>;

/// A response whose exchange stays open until it has been sent.
struct Streamed {
    reply: Reply,
    flushes: Flushes,
    /// The fault to return at the end, once the connection has been flushed.
    failure: Option<(Fault, oneshot::Receiver<()>)>,
    /// What is recorded of the response, if it is.
    sent: Option<Sent>,
    exchange: Exchange,
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if self.exchange.has_stalled() {
            self.reply.time_out();
        }
        if let Some(sent) = self.sent.as_mut().filter(|_| self.reply.is_end_stream()) {
            sent.end();
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        loop {
            if let Some((_, flushed)) = &mut this.failure {
                // An error means that the connection is gone.
                _ = ready!(Pin::new(flushed).poll(cx));
                return Poll::Ready(this.failure.take().map(|(fault, _)| Err(fault)));
            }
            match ready!(Pin::new(&mut this.reply).poll_frame(cx)) {
                // A reset overtakes data that waits before it, even the head, but the client should get what the
                // handler wrote.
                Some(Err(fault)) => {
                    let (flushed, is_over) = oneshot::channel();
                    _ = this.flushes.send(flushed);
                    this.failure = Some((fault, is_over));
                }
                frame => {
                    if let Some(sent) = &mut this.sent {
                        sent.frame(frame.as_ref().and_then(|frame| frame.as_ref().ok()));
                    }
                    return Poll::Ready(frame);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.reply.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reply.size_hint()
    }
}

fn begin(request: hyper::Request<Incoming>, peer: Peer, pace: Pace, recorder: Option<&Recorder>) -> exchange::Request {
    let (parts, body) = request.into_parts();
    let (head, refusal) = head::read(&parts);
    let content_length = body.size_hint().exact().filter(|_| head.values("content-length").next().is_some());
    let recording = recorder.and_then(|recorder| recorder.begin(&head, refusal.is_none(), body.is_end_stream()));
    let body: Option<BoxBody> = match body.is_end_stream() {
        true => None,
        false => Some(Box::pin(Received::new(body, pace).recorded(recording.clone()))),
    };
    exchange::Request { head, peer, content_length, body, trailers: Takes::Anything, refusal, recording }
}
