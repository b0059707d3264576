//! The socket of a connection of HTTP/1, as hyper reads and writes it: hyper reads what our parser has made of what the client
//! sends, and each head has to come in time.

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
use wasmserve_gateway::stream::{Awaited, End};

use super::{
    super::{
        pace::Timeout,
        socket::{LINGER_TIME, LINGER_TIME_BETWEEN, READ, Socket},
    },
    state::Shared,
};
use crate::base::limits::Limits;

/// How long an answer takes before a client that has ended its side is asked whether it still waits.
const PROBE: Duration = Duration::from_millis(200);

/// How it is asked: a client that is gone cannot take this and resets the connection, and one that is there has to expect it
/// (RFC 9110 section 15.2).
const INTERIM: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// The socket of a connection of HTTP/1.
pub(super) struct Http1Wire {
    socket: Socket,
    state: Shared,
    /// What is written for hyper and did not fit into what it has read.
    ahead: BytesMut,
    /// How long a head may take.
    head_timeout: Duration,
    /// How long nothing may come between two requests.
    keep_alive: Duration,
    /// What we wait for, and since how many heads.
    awaited: (Awaited, u64),
    timeout: Timeout,
    /// Whether a client that has ended its side may still wait for its answer (rule K9).
    is_half_close_fine: bool,
    /// When to look next whether a client that has ended its side is still there.
    probe: Option<Timeout>,
}

impl Http1Wire {
    /// The wire of a connection whose first head is awaited since `accepted`. In a box, as it goes through several hands, each of
    /// which would hold all of it for as long as the connection is open.
    pub(super) fn new(
        socket: Socket,
        state: Shared,
        limits: &Limits,
        is_half_close_fine: bool,
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
            is_half_close_fine,
            probe: None,
        })
    }

    /// Ends the connection with a reset.
    pub(super) fn reset(self) {
        self.socket.reset();
    }

    /// Whether the client was too slow for its response.
    pub(super) fn has_stalled(&self) -> bool {
        self.socket.has_stalled()
    }

    /// Ends the connection, if hyper has not.
    pub(super) async fn end(&mut self) {
        if !self.socket.has_ended() {
            // What the client does not take any more is not an error of anybody's.
            _ = poll_fn(|cx| self.poll_end(cx)).await;
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_between = self.state.lock().requests.is_between_requests();
        self.socket.poll_end(cx, if is_between { LINGER_TIME_BETWEEN } else { LINGER_TIME })
    }

    /// Gives hyper what was written for it before; whether there was anything.
    fn give_ahead(&mut self, cursor: &mut ReadBufCursor<'_>) -> bool {
        if self.ahead.is_empty() {
            return false;
        }
        cursor.put_slice(&self.ahead.split_to(self.ahead.len().min(cursor.remaining())));
        if self.ahead.is_empty() {
            // Its memory is not needed any more.
            self.ahead = BytesMut::new();
        }
        true
    }

    /// Takes what the client has sent; whether hyper has got anything to read.
    fn feed(&mut self, bytes: &[u8], cursor: &mut ReadBufCursor<'_>) -> bool {
        let before = cursor.remaining();
        self.state.lock().requests.feed(bytes, |written| put(cursor, &mut self.ahead, written));
        cursor.remaining() < before
    }

    /// Refuses the head that has not come in time; whether there is one to refuse.
    fn time_out(&mut self, cursor: &mut ReadBufCursor<'_>) -> bool {
        self.state.lock().requests.time_out(|written| put(cursor, &mut self.ahead, written))
    }

    /// Ready when a client that has ended its side turns out to be gone.
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
                    Ok(length) if length == INTERIM.len() => {}
                    // It is there, and does not read: how long that may go on is not for this to say.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // A part of it would be taken for a part of the answer.
                    Ok(_) | Err(_) => return Poll::Ready(()),
                }
            }
        }
    }

    /// Ready when the client has kept us waiting for too long. Asked when there is nothing to read.
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
            // How long a body may take is for its reader to say.
            Awaited::Body | Awaited::Nothing => Poll::Pending,
            Awaited::Head | Awaited::NextRequest => self.timeout.poll_end(cx),
        }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(_)) => _ = self.state.lock().written(),
            Poll::Ready(Err(_)) => self.state.lock().has_stalled = self.socket.has_stalled(),
            Poll::Pending => {}
        }
    }
}

impl hyper::rt::Read for Http1Wire {
    /// Reads what the client sends, and gives hyper what is written in its place.
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
                // All that is left to do is to answer; what the client still sends is read when the connection ends.
                Some(End::Refused) => return Poll::Pending,
                Some(End::Last) | None => {}
            }
            let mut bytes = [const { MaybeUninit::uninit() }; READ];
            let mut buffer = ReadBuf::uninit(&mut bytes[..READ.min(cursor.remaining())]);
            let polled = this.socket.poll_read(cx, &mut buffer);
            let is_end = matches!(polled, Poll::Ready(Ok(()))) && buffer.filled().is_empty();
            // A client that waits for an answer is not idle (rule K11), and it may have nothing more to say.
            if polled.is_pending() || is_end && this.is_half_close_fine {
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
            // What comes behind the last request is not wanted: the client has to keep it.
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
        self.note(&written);
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
        self.note(&written);
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

/// Writes for hyper: what does not fit now, it gets with its next read.
fn put(cursor: &mut ReadBufCursor<'_>, ahead: &mut BytesMut, written: &[u8]) {
    let fits = if ahead.is_empty() { written.len().min(cursor.remaining()) } else { 0 };
    cursor.put_slice(&written[..fits]);
    ahead.extend_from_slice(&written[fits..]);
}
