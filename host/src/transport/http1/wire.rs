//! The socket of an HTTP/1 connection as hyper sees it.
//!
//! hyper reads what our parser makes of the client's input. Each head must arrive in time.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use hyper::rt::ReadBufCursor;
use tokio::{io::ReadBuf, time::Instant};
use wasmserve_gateway::{
    requests::Part,
    stream::{Awaited, End},
};

use super::{
    super::{
        pace::Timeout,
        socket::{LINGER_TIME, LINGER_TIME_BETWEEN, READ, Socket},
    },
    state::{Http1State, Shared},
};
use crate::base::limits::Limits;

/// How long a response takes before a client that has closed its sending side is probed.
const PROBE: Duration = Duration::from_millis(200);

/// The probe: a client that is gone resets the connection when it gets this, and one that is there must expect it (RFC
/// 9110 section 15.2).
const INTERIM: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// The socket of an HTTP/1 connection.
pub(super) struct Http1Wire {
    socket: Socket,
    state: Shared,
    /// Data for hyper that did not fit into its last read.
    ahead: BytesMut,
    /// How long a head may take to arrive.
    head_timeout: Duration,
    /// How long the connection may be idle between two requests.
    keep_alive: Duration,
    /// What the client must send next, and how many heads it has sent.
    awaited: (Awaited, u64),
    timeout: Timeout,
    /// Whether a client that has closed its sending side may still wait for its response (rule K9).
    allows_half_close: bool,
    /// When to probe a client that has closed its sending side.
    probe: Option<Timeout>,
}

impl Http1Wire {
    /// The wire of a connection that has waited for its first head since `accepted`. Boxed, because it is moved through
    /// several futures, each of which would reserve space for it for the life of the connection.
    pub(super) fn new(
        socket: Socket,
        state: Shared,
        limits: &Limits,
        allows_half_close: bool,
        accepted: Instant,
    ) -> Box<Self> {
        Box::new(Self {
            socket,
            state,
            ahead: BytesMut::new(),
            head_timeout: limits.head_timeout,
            keep_alive: limits.keep_alive,
            awaited: (Awaited::Head, 0),
            timeout: Timeout::at(accepted + limits.head_timeout),
            allows_half_close,
            probe: None,
        })
    }

    /// Makes the connection end with a reset.
    pub(super) fn reset(self) {
        self.state.ended(true);
        self.socket.reset();
    }

    /// Whether the client accepted its response too slowly.
    pub(super) fn has_stalled(&self) -> bool {
        self.socket.has_stalled()
    }

    /// Closes the connection, unless hyper has.
    pub(super) async fn end(&mut self) {
        if !self.socket.has_ended() {
            // An error only means that the client accepts no more data.
            _ = poll_fn(|cx| self.poll_end(cx)).await;
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, state, .. } = self;
        let is_between = state.lock().requests.is_between_requests();
        socket.poll_end(cx, if is_between { LINGER_TIME_BETWEEN } else { LINGER_TIME }, |bytes| state.ignored(bytes))
    }

    /// Gives hyper data left from earlier reads. Returns whether there was any.
    fn give_ahead(&mut self, cursor: &mut ReadBufCursor<'_>) -> bool {
        if self.ahead.is_empty() {
            return false;
        }
        cursor.put_slice(&self.ahead.split_to(self.ahead.len().min(cursor.remaining())));
        if self.ahead.is_empty() {
            // Free its memory.
            self.ahead = BytesMut::new();
        }
        true
    }

    /// Parses data from the client. Returns whether hyper got anything to read.
    fn feed(&mut self, bytes: &[u8], cursor: &mut ReadBufCursor<'_>) -> bool {
        let before = cursor.remaining();
        let mut state = self.state.lock();
        let Http1State { requests, recorder, .. } = &mut *state;
        let write = |written: &[u8]| put(cursor, &mut self.ahead, written);
        match recorder {
            None => requests.feed(bytes, write, |_| {}),
            Some(recorder) => {
                let at = Instant::now().into_std();
                requests.feed(bytes, write, |part| recorder.received(at, part));
            }
        }
        cursor.remaining() < before
    }

    /// Refuses a head that did not arrive in time. Returns whether one had begun.
    fn time_out(&mut self, cursor: &mut ReadBufCursor<'_>) -> bool {
        let mut state = self.state.lock();
        let has_begun = state.requests.time_out(|written| put(cursor, &mut self.ahead, written));
        if let Some(recorder) = state.recorder.as_mut().filter(|_| has_begun) {
            let part = Part { bytes: &[], is_start: true, is_end: false, is_last: true };
            recorder.received(Instant::now().into_std(), part);
        }
        has_begun
    }

    /// Ready when a client that has closed its sending side turns out to be gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (stream, probe) =
            (self.socket.stream(), self.probe.get_or_insert_with(|| Timeout::at(Instant::now() + PROBE)));
        loop {
            ready!(probe.poll_end(cx));
            probe.renew(PROBE);
            if stream.take_error().is_ok_and(|error| error.is_some()) {
                return Poll::Ready(());
            }
            if self.state.lock().written() {
                match stream.try_write(INTERIM) {
                    Ok(length) if length == INTERIM.len() => self.state.sent(&[io::IoSlice::new(INTERIM)], length),
                    // The client is there, but does not read. The write timeout decides how long that may go on.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // A partial probe would corrupt the response.
                    Ok(_) | Err(_) => return Poll::Ready(()),
                }
            }
        }
    }

    /// Ready when the client has exceeded a timeout. Call it only when there is nothing to read.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let awaited = self.state.lock().requests.awaited();
        if awaited != self.awaited {
            self.awaited = awaited;
            match awaited.0 {
                Awaited::Head => self.timeout.renew(self.head_timeout),
                Awaited::NextRequest => self.timeout.renew(self.keep_alive),
                Awaited::Body | Awaited::Nothing => {}
            }
        }
        match awaited.0 {
            // The reader of a body has its own timeout.
            Awaited::Body | Awaited::Nothing => Poll::Pending,
            Awaited::Head | Awaited::NextRequest => self.timeout.poll_end(cx),
        }
    }

    /// Notes a write of these parts, of which the system may have accepted less.
    fn note(&self, parts: &[io::IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(length)) => {
                _ = self.state.lock().written();
                self.state.sent(parts, *length);
            }
            Poll::Ready(Err(_)) => self.state.lock().has_stalled = self.socket.has_stalled(),
            Poll::Pending => {}
        }
    }
}

impl hyper::rt::Read for Http1Wire {
    /// Reads from the client, and gives hyper what is written instead.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.give_ahead(&mut cursor) {
                return Poll::Ready(Ok(()));
            }
            match this.state.lock().requests.end() {
                Some(End::Malformed) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                // Only the response is left to send. Input is discarded when the connection closes.
                Some(End::Refused) => return Poll::Pending,
                Some(End::Last) | None => {}
            }
            let mut bytes = [const { MaybeUninit::uninit() }; READ];
            let mut buffer = ReadBuf::uninit(&mut bytes[..READ.min(cursor.remaining())]);
            let polled = this.socket.poll_read(cx, &mut buffer);
            let is_end = matches!(polled, Poll::Ready(Ok(()))) && buffer.filled().is_empty();
            if is_end || matches!(polled, Poll::Ready(Err(_))) {
                this.state.ended(!is_end);
            }
            // A client that waits for a response is not idle (rule K11), and may have closed its sending side.
            if polled.is_pending() || is_end && this.allows_half_close {
                let mut state = this.state.lock();
                if state.is_answering() {
                    state.must_read_again = true;
                    drop(state);
                    if is_end {
                        ready!(this.poll_gone(cx));
                        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    return Poll::Pending;
                }
            }
            if polled.is_pending() {
                ready!(this.poll_timeout(cx));
                if !this.time_out(&mut cursor) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                return Poll::Ready(Ok(()));
            }
            ready!(polled)?;
            if is_end || this.feed(buffer.filled(), &mut cursor) {
                return Poll::Ready(Ok(()));
            }
            // Do not read any further: input after the last request is ignored.
            let mut state = this.state.lock();
            if state.requests.end() == Some(End::Last) {
                state.must_read_again = true;
                return Poll::Pending;
            }
        }
    }
}

impl hyper::rt::Write for Http1Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.socket.poll_write(cx, bytes);
        self.note(&[io::IoSlice::new(bytes)], &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.socket.poll_write_vectored(cx, parts);
        self.note(parts, &written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.socket.poll_flush(cx))?;
        if self.state.lock().flushed() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx)
    }
}

/// Writes data for hyper. What does not fit is kept for its next read.
fn put(cursor: &mut ReadBufCursor<'_>, ahead: &mut BytesMut, written: &[u8]) {
    let fits = if ahead.is_empty() { written.len().min(cursor.remaining()) } else { 0 };
    cursor.put_slice(&written[..fits]);
    ahead.extend_from_slice(&written[fits..]);
}
