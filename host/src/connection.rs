//! One socket: hyper's parser and writer, the timeouts that they need, and the tee that keeps each head as it was sent.
//!
//! The only room that knows hyper.

mod tee;

use std::{
    error::Error as _,
    fmt,
    future::Future,
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::{body::Incoming, ext::ReasonPhrase, rt::ReadBufCursor, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::{Sleep, sleep},
};

use self::tee::{Framing, Tee};
use crate::{
    exchange::{self, Exchanges, Reply},
    fault::Fault,
    gateway::{
        environ::Peer,
        head::Reason,
        input::{BoxBody, ReadError},
        request::RequestHead,
    },
};

/// Serves a connection until it is closed; until it is idle, once `drain` says that the server stops.
pub async fn serve(stream: TcpStream, peer: Peer, exchanges: Arc<Exchanges>, mut drain: watch::Receiver<bool>) {
    let limits = exchanges.limits();
    let tee = Arc::<Mutex<Tee>>::default();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let begun = begin(request, peer, &tee, limits.body_timeout);
        let exchanges = Arc::clone(&exchanges);
        async move { Ok::<_, OutOfStep>(with_reason(exchange::serve(exchanges, begun?).await)) }
    });
    let head_max = usize::try_from(limits.head).unwrap_or(usize::MAX);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_header_size(head_max)
            .max_buf_size(head_max.max(64 << 10))
            // A client may end its side and still wait for the answer (rule K9).
            .half_close(true)
            .title_case_headers(true)
            .serve_connection(Wire { stream, tee: Arc::clone(&tee), linger: None }, service)
    );

    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = async { drop(drain.wait_for(|is_draining| *is_draining).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result
        && let Some(fault) = refused_by_hyper(&error)
    {
        let head = RequestHead::new(lock(&tee).line());
        exchange::refused(&exchanges, peer, head, fault);
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
    timeout: Duration,
) -> Result<exchange::Request, OutOfStep> {
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
    let body: Option<BoxBody> = match framing {
        Framing::Length(0) => None,
        _ => Some(Box::pin(Received { body: request.into_body(), timeout, timer: None })),
    };
    Ok(exchange::Request { head, peer, content_length, body })
}

/// Hands the reason phrase on in hyper's own way (rule S7).
fn with_reason(mut response: http::Response<Reply>) -> http::Response<Reply> {
    if let Some(Reason(reason)) = response.extensions_mut().remove()
        && response.status().canonical_reason().map(str::as_bytes) != Some(&reason)
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
    response
}

/// What hyper has answered by itself, before there was an exchange (rule X5).
fn refused_by_hyper(error: &hyper::Error) -> Option<Fault> {
    if error.is_parse_too_large() {
        Some(Fault::Refused { status: 431, why: "the request head is too large".into() })
    } else if error.is_parse() {
        Some(Fault::Refused { status: 400, why: format!("the request head is malformed: {error}").into() })
    } else {
        None
    }
}

/// A request body as it comes in, given up when the client sends nothing for too long.
struct Received {
    body: Incoming,
    timeout: Duration,
    /// Only there while nothing comes in.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Body for Received {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| read_error(&error))));
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(this.timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(ReadError::TimedOut)))
    }
}

fn read_error(error: &hyper::Error) -> ReadError {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => ReadError::Malformed,
        _ => ReadError::Disconnected,
    }
}

/// The socket, as hyper reads and writes it.
struct Wire {
    stream: TcpStream,
    tee: Arc<Mutex<Tee>>,
    linger: Option<Linger>,
}

/// What is still read after our side has ended, so that the client gets to read the answer: closing a socket with unread
/// input resets the connection, which may destroy what is on its way (rule K5; RFC 9112 section 9.6).
struct Linger {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

/// How long a client that is still sending may go on, and how much it may send.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 4 << 20;

impl hyper::rt::Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Only unsafe code may read straight into hyper's buffer, so the octets take a detour over the stack.
        let mut octets = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut octets[..READ.min(cursor.remaining())]);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
        lock(&this.tee).feed(buffer.filled());
        cursor.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

/// What is read from the socket at once.
const READ: usize = 16 << 10;

impl hyper::rt::Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let linger = match &mut this.linger {
            Some(linger) => linger,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                if lock(&this.tee).is_between_requests() {
                    return Poll::Ready(Ok(()));
                }
                this.linger.insert(Linger { timer: Box::pin(sleep(LINGER_TIME)), left: LINGER_OCTETS })
            }
        };
        let mut octets = [const { MaybeUninit::uninit() }; READ];
        while linger.left > 0 && linger.timer.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut octets);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            linger.left = linger.left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

/// The tee stays consistent at every point, so a poisoned lock means nothing.
fn lock(tee: &Mutex<Tee>) -> MutexGuard<'_, Tee> {
    tee.lock().unwrap_or_else(PoisonError::into_inner)
}
