//! A client's socket: what both protocols read, write and end in the same way.

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::pace::{Pace, PaceMaker};
use crate::base::limits::Limits;

/// How much is read from a socket at once.
pub(super) const READ: usize = 16 << 10;

/// How long a client that is still sending may go on after our side has ended, and how much it may send.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// The same for a client that has sent all of its request: another one may be on its way.
pub(super) const LINGER_TIME_BETWEEN: Duration = Duration::from_millis(100);

/// How much is copied to be written in one piece: what the system does for several pieces costs more than the copy.
const SMALL: usize = 1 << 10;

/// A socket, of which something may have been read already.
pub(super) struct Socket {
    stream: TcpStream,
    /// What was read before hyper came.
    begun: BytesMut,
    linger: Option<Linger>,
    /// How slowly the client may take what it gets.
    pace: PaceMaker,
    /// Whether it was too slow.
    has_stalled: bool,
    has_ended: bool,
}

/// What is still read after our side has ended, so that the client gets to read the answer: closing a socket with unread
/// input resets the connection, which may destroy what is on its way (rule K5; RFC 9112 section 9.6).
struct Linger {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

impl Socket {
    /// A socket of which `begun` was read already.
    pub(super) fn new(stream: TcpStream, begun: BytesMut, limits: &Limits) -> Self {
        let pace = PaceMaker::new(Pace::of_responses(limits));
        Self { stream, begun, linger: None, pace, has_stalled: false, has_ended: false }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Ends the connection with a reset, which is how a client learns that a response was cut whose end is the end of the
    /// connection (rule X3).
    pub(super) fn reset(&self) {
        // If the system refuses, only the log says so.
        _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Whether the client was too slow for its response.
    pub(super) fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Whether [`poll_end`](Self::poll_end) is through.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether our side has ended.
    pub(super) fn is_ending(&self) -> bool {
        self.linger.is_some()
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.begun.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.begun.len().min(buffer.remaining());
        buffer.put_slice(&self.begun[..length]);
        self.begun.advance(length);
        if self.begun.is_empty() {
            // Its memory is not needed any more.
            self.begun = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes, and gives up a client that takes its response too slowly.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.keep_pace(cx, written)
    }

    pub(super) fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut small = [0; SMALL];
        let stream = Pin::new(&mut self.stream);
        let written = match join(parts, &mut small) {
            Some(bytes) => stream.poll_write(cx, bytes),
            None => stream.poll_write_vectored(cx, parts),
        };
        self.keep_pace(cx, written)
    }

    fn keep_pace(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.pace.moved(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                ready!(self.pace.poll_too_slow(cx));
                self.has_stalled = true;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends our side, and reads until the client ends its own, for `time` at most.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            // `--linger 0s`: it is to be reset, and an end in good order would leave something behind (`TIME_WAIT`).
            if SockRef::from(&self.stream).linger()? == Some(Duration::ZERO) {
                self.has_ended = true;
                return Poll::Ready(Ok(()));
            }
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        let linger = self.linger.get_or_insert_with(|| Linger { timer: Box::pin(sleep(time)), left: LINGER_BYTES });
        let mut bytes = [const { MaybeUninit::uninit() }; READ];
        while linger.left > 0 && linger.timer.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            linger.left = linger.left.saturating_sub(buffer.filled().len());
        }
        self.has_ended = true;
        Poll::Ready(Ok(()))
    }
}

/// All parts in one piece, if they fit into `buffer`.
fn join<'a>(parts: &[io::IoSlice<'_>], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    for part in parts {
        buffer.get_mut(length..length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    Some(&buffer[..length])
}
