//! The socket of a client: reading, writing and closing for both protocols.

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

/// Bytes read from a socket at once.
pub(super) const READ: usize = 16 << 10;

/// How long a client that is still sending may continue after our side has closed, and how much it may send.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// The same time for a client that has sent its whole request: another one may be on its way.
pub(super) const LINGER_TIME_BETWEEN: Duration = Duration::from_millis(100);

/// Buffers up to this size are joined into one write: the system's cost for several buffers exceeds that of the copy.
const SMALL: usize = 1 << 10;

/// A socket from which some bytes may have been read already.
pub(super) struct Socket {
    stream: TcpStream,
    /// The bytes read before hyper started.
    prefix: BytesMut,
    linger: Option<Linger>,
    /// How slowly the client may accept its response.
    pace: PaceMaker,
    /// Whether the client was too slow.
    has_stalled: bool,
    has_ended: bool,
}

/// Reading after our side has closed, so that the client can read the response: closing a socket with unread input
/// resets the connection, which may destroy data in flight (rule K5; RFC 9112 section 9.6).
struct Linger {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

impl Socket {
    /// A socket from which `prefix` has already been read.
    pub(super) fn new(stream: TcpStream, prefix: BytesMut, limits: &Limits) -> Self {
        let pace = PaceMaker::new(Pace::of_responses(limits));
        Self { stream, prefix, linger: None, pace, has_stalled: false, has_ended: false }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Makes the connection end with a reset, which tells the client that a response delimited by the end of the
    /// connection was truncated (rule X3).
    pub(super) fn reset(&self) {
        // If the system refuses, only the log shows the truncation.
        _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Whether the client accepted its response too slowly.
    pub(super) fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Whether [`poll_end`](Self::poll_end) has completed.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether our side has closed.
    pub(super) fn is_ending(&self) -> bool {
        self.linger.is_some()
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..length]);
        self.prefix.advance(length);
        if self.prefix.is_empty() {
            // Free its memory.
            self.prefix = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes, and fails if the client accepts its response too slowly.
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

    /// Closes our side, and reads until the client closes its own, for at most `time`. Passes what it reads to `ignored`.
    pub(super) fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        time: Duration,
        mut ignored: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            // `--linger 0s` asks for a reset. An orderly close would leave the socket in `TIME_WAIT`.
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
            ignored(buffer.filled());
            linger.left = linger.left.saturating_sub(buffer.filled().len());
        }
        self.has_ended = true;
        Poll::Ready(Ok(()))
    }
}

/// Joins all parts in `buffer`, if they fit.
fn join<'a>(parts: &[io::IoSlice<'_>], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    for part in parts {
        buffer.get_mut(length..length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    Some(&buffer[..length])
}
