//! HTTP/2 without TLS, for clients that know that we speak it (RFC 9113 section 3.3).

mod frames;
mod head;
mod open;
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
use wasmserve_gateway::{environ::Peer, input::BoxBody};

use self::{
    frames::Frames,
    open::{Exchange, Open},
    wire::Http2Wire,
};
use super::{drain::stopped, pace::Pace, preface::PREFACE, request_body::Received, socket::Socket};
use crate::{
    exchange::{self, Exchanges, Reply},
    fault::Fault,
};

/// How many exchanges one connection may have at the same time. More are refused, and may be asked for again.
const STREAMS_MAX: u32 = 100;

/// How many exchanges a client may have reset before they had begun, which costs it nothing (CVE-2023-44487).
const RESETS_MAX: usize = 20;

/// How many streams a client may have us reset (CVE-2025-8671, "MadeYouReset"). Those beyond [`STREAMS_MAX`] count too, and
/// a client that does not know that limit yet may begin many at once.
const ERRORS_MAX: usize = 1024;

/// What is kept of a client's fields, so that it need not repeat them: as much as RFC 9113 section 6.5.2 starts with.
const TABLE: u32 = 4 << 10;

/// How long a frame may be, which is held in memory as a whole: the least that RFC 9113 section 4.2 allows.
const FRAME_MAX: u32 = 16 << 10;

/// What a client may send before it was read: of one body, and of all together (rule I13).
const STREAM_WINDOW: u32 = 64 << 10;
const WINDOW: u32 = 1 << 20;

/// What one exchange may have waiting for its client beside what the gateway holds (rule B8).
const SENT_MAX: usize = 64 << 10;

/// How long a connection may be without an exchange, how often its client is asked whether it is still there, and how long
/// it may take to answer that.
const IDLE: Duration = Duration::from_secs(60);
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);

/// Serves a connection of HTTP/2.
pub(super) async fn serve(socket: Socket, peer: Peer, exchanges: Arc<Exchanges>, mut drain: watch::Receiver<bool>) {
    let limits = exchanges.limits();
    let open = Arc::new(Open::new(Instant::now()));
    let (turns, mut asked) = mpsc::unbounded_channel();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (exchange, turns) = (open.begin(), turns.clone());
        let begun = exchange::begin(&exchanges, begin(request, peer, Pace::of_bodies(limits)));
        async move {
            let mut response = begun.answer().await;
            // There is no such thing in HTTP/2 (RFC 9113 section 8.2.2); the stream ends by itself.
            response.headers_mut().remove(header::CONNECTION);
            Ok::<_, Infallible>(response.map(|reply| Streamed { reply, turns, failure: None, exchange }))
        }
    });
    // hyper's own defaults are other people's decisions: each limit is said here.
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
    let mut turned: Vec<oneshot::Sender<()>> = Vec::new();
    let (mut idle, mut end) = (pin!(idle(&open)), pin!(sleep(Duration::MAX)));
    let mut is_leaving = false;
    // How it ends is between hyper and the client: each exchange has told its own story.
    loop {
        tokio::select! {
            // The connection comes first, so that whoever gets the turn asked for it before.
            biased;
            _ = connection.as_mut() => break,
            () = ready(()), if !turned.is_empty() => turned.drain(..).for_each(|turn| _ = turn.send(())),
            Some(turn) = asked.recv() => turned.push(turn),
            () = stopped(&mut drain), if !is_leaving => {
                connection.as_mut().graceful_shutdown();
                is_leaving = true;
            }
            () = idle.as_mut(), if !is_leaving => {
                connection.as_mut().graceful_shutdown();
                is_leaving = true;
                end.set(sleep(PONG));
            }
            // A client that does not even read the goodbye is not waited for; one that has asked in the meantime is.
            () = end.as_mut(), if is_leaving => match open.is_any() {
                true => end.set(sleep(PONG)),
                false => break,
            }
        }
    }
}

/// Ready when there was no exchange for [`IDLE`].
async fn idle(open: &Open) {
    loop {
        match open.left_of(IDLE, Instant::now()) {
            Duration::ZERO => break,
            left => sleep(left).await,
        }
    }
}

/// The limit of heads that h2 gets. It answers those beyond by itself, and then there is no exchange for the log: so it lets
/// through twice as much, and [`RequestHead::check`](wasmserve_gateway::request::RequestHead::check) refuses.
fn list_max(head: u64) -> u32 {
    u32::try_from(head * 2).unwrap_or(u32::MAX)
}

/// Asks for a turn of the connection: told when all that hyper was given before has gone as far as the client takes it.
type Turns = mpsc::UnboundedSender<oneshot::Sender<()>>;

/// A response whose exchange is open until it has been sent.
struct Streamed {
    reply: Reply,
    turns: Turns,
    /// What is told in the end, after a turn of the connection.
    failure: Option<(Fault, oneshot::Receiver<()>)>,
    exchange: Exchange,
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if self.exchange.has_stalled() {
            self.reply.time_out();
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        loop {
            if let Some((_, turn)) = &mut this.failure {
                // An error means that there is no connection any more.
                _ = ready!(Pin::new(turn).poll(cx));
                return Poll::Ready(this.failure.take().map(|(fault, _)| Err(fault)));
            }
            match ready!(Pin::new(&mut this.reply).poll_frame(cx)) {
                // A reset overtakes what waits before it, even the head, and the client should get what the handler wrote.
                Some(Err(fault)) => {
                    let (turn, is_over) = oneshot::channel();
                    _ = this.turns.send(turn);
                    this.failure = Some((fault, is_over));
                }
                frame => return Poll::Ready(frame),
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

fn begin(request: hyper::Request<Incoming>, peer: Peer, pace: Pace) -> exchange::Request {
    let (parts, body) = request.into_parts();
    let (head, refusal) = head::read(&parts);
    let content_length = body.size_hint().exact().filter(|_| head.values("content-length").next().is_some());
    let body: Option<BoxBody> = if body.is_end_stream() { None } else { Some(Box::pin(Received::new(body, pace))) };
    exchange::Request { head, peer, content_length, body, refusal }
}
