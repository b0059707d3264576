//! A client of HTTP/2 for one request: a replay, which goes through the same door as the original.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::{client::conn::http2, rt::Executor};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::{Instant, Sleep, sleep_until},
};

use crate::base::lock::lock;

/// Bytes of a response that may wait to be read.
const WINDOW: u32 = 1 << 20;

/// The largest response head, in bytes: more than a handler may send.
const HEAD_MAX: u32 = 1 << 20;

/// The content of a request.
#[derive(Debug)]
pub(crate) struct Content {
    /// Its parts, each with the time to send it at after the head.
    parts: VecDeque<(Duration, Part)>,
    /// Whether the stream stays open after them.
    stays_open: bool,
    /// When the head was sent.
    began: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A part of a content.
#[derive(Debug)]
pub(crate) enum Part {
    /// Data.
    Data(Bytes),
    /// Trailers, which are the last part.
    Trailers(HeaderMap),
}

impl Content {
    /// A content of these parts, each with the time to send it at after the head. The stream stays open after them if the
    /// original client did not end it.
    pub(crate) fn new(parts: VecDeque<(Duration, Part)>, stays_open: bool) -> Self {
        Self { parts, stays_open, began: None, timer: None }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let began = *this.began.get_or_insert_with(Instant::now);
        let Some((at, _)) = this.parts.front() else {
            // The connection ends it.
            return if this.stays_open { Poll::Pending } else { Poll::Ready(None) };
        };
        if !at.is_zero() {
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(began + *at)));
            ready!(timer.as_mut().poll(cx));
            this.timer = None;
        }
        Poll::Ready(this.parts.pop_front().map(|(_, part)| {
            Ok(match part {
                Part::Data(data) => Frame::data(data),
                Part::Trailers(trailers) => Frame::trailers(trailers),
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && !self.stays_open
    }
}

/// Sends a request on a new connection, and waits for its whole response. Returns when the response is complete, or when
/// `leaves_after` bytes of its content have arrived. The connection is closed then.
///
/// # Errors
///
/// The connection broke before that, or the request was reset.
pub(crate) async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Content>,
    leaves_after: Option<u64>,
) -> io::Result<()> {
    // However this ends, so do the tasks of the connection.
    let tasks = Tasks::default();
    let mut client = http2::Builder::new(tasks.executor());
    client.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW).max_header_list_size(HEAD_MAX);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tasks.executor().execute(async { _ = connection.await });
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let (mut body, mut received) = (response.into_body(), 0);
    while leaves_after.is_none_or(|bytes| received < bytes) {
        let Some(frame) = body.frame().await else { break };
        received += frame.map_err(io::Error::other)?.data_ref().map_or(0, Bytes::len) as u64;
    }
    Ok(())
}

/// The tasks of a connection, which end when this is dropped.
#[derive(Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn executor(&self) -> TaskExecutor {
        TaskExecutor(Arc::clone(&self.0))
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // The tasks have the executor, and so keep their own set alive.
        lock(&self.0).abort_all();
    }
}

#[derive(Clone)]
struct TaskExecutor(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for TaskExecutor {
    fn execute(&self, task: F) {
        lock(&self.0).spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn parts_are_sent_at_their_times() {
        let trailers: HeaderMap = [(http::header::TRAILER, http::HeaderValue::from_static("x"))].into_iter().collect();
        let times = [0, 7, 7, 9000].map(Duration::from_millis);
        let parts = [Part::Data("a".into()), Part::Data("b".into()), Part::Data("c".into()), Part::Trailers(trailers)];
        let mut content = Content::new(times.into_iter().zip(parts).collect(), false);
        let began = Instant::now();
        for at in times {
            assert!(!content.is_end_stream());
            let frame = content.frame().await.expect("there is one more").expect("it cannot fail");
            assert_eq!((began.elapsed(), frame.is_trailers()), (at, at == times[3]));
        }
        assert!(content.is_end_stream() && content.frame().await.is_none());
        let mut open = Content::new(VecDeque::new(), true);
        assert!(!open.is_end_stream());
        assert!(tokio::time::timeout(Duration::from_secs(9), open.frame()).await.is_err(), "it stays open");
    }
}
