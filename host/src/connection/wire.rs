//! The socket, as hyper reads and writes it.

mod heads;
mod watch;

use std::{
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use hyper::rt::ReadBufCursor;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use self::{heads::Heads, watch::Watch};
use super::{
    frames::Frames,
    open::Open,
    patience::{Pace, PaceMaker},
    requests::{Requests, lock},
    turn::Turn,
};
use crate::{config::Limits, gateway::stream::End};

/// A socket, of which something may have been read already.
pub(super) struct Wire {
    stream: TcpStream,
    /// What was read before hyper came.
    begun: BytesMut,
    /// Only for HTTP/1, where a connection is one stream of heads and bodies.
    heads: Option<Heads>,
    /// Only for HTTP/2.
    watch: Option<Watch>,
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

/// How long a client that is still sending may go on, and how much it may send.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_OCTETS: usize = 4 << 20;

/// The same for a client that has sent all of its request: another one may be on its way.
const LINGER_TIME_BETWEEN: Duration = Duration::from_millis(100);

/// What is read from the socket at once.
const READ: usize = 16 << 10;

/// How much is copied to be written in one piece: what the system does for several pieces costs more than the copy.
const SMALL: usize = 1 << 10;

/// All parts in one piece, if there is room for them.
fn join<'a>(parts: &[io::IoSlice<'_>], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    for part in parts {
        room.get_mut(length..length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    Some(&room[..length])
}

impl Wire {
    /// In a box, as it goes through several hands, and each of them would have room for it as long as the connection is open.
    pub(super) fn new(stream: TcpStream, begun: BytesMut, limits: &Limits) -> Box<Self> {
        Box::new(Self {
            stream,
            begun,
            heads: None,
            watch: None,
            linger: None,
            pace: PaceMaker::new(Pace::of_responses(limits)),
            has_stalled: false,
            has_ended: false,
        })
    }

    /// Has hyper read what is written for it in place of what the client sends, and refuses a head that does not come in time. The
    /// first one is awaited since the connection was accepted.
    pub(super) fn of_http1(
        mut self: Box<Self>,
        requests: &Arc<Mutex<Requests>>,
        turn: &Arc<Turn>,
        limits: &Limits,
        is_half_close_fine: bool,
        accepted: Instant,
    ) -> Box<Self> {
        self.heads = Some(Heads::new(requests, turn, limits, is_half_close_fine, accepted));
        self
    }

    /// Ends the connection with a reset, which is how a client learns that a response was cut whose end is the end of the
    /// connection (rule X3).
    pub(super) fn reset(self) {
        // If the system refuses, the client is told by the log only.
        _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Whether the client was too slow for its response.
    pub(super) fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Ends the connection, if hyper has not.
    pub(super) async fn end(&mut self) {
        if !self.has_ended {
            _ = poll_fn(|cx| self.poll_end(cx)).await;
        }
    }

    /// Gives up a client that takes its response too slowly.
    fn keep_pace(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(octets)) => {
                if let Some(heads) = &self.heads {
                    heads.turn.written();
                }
                self.pace.moved(*octets);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                ready!(self.pace.poll_too_slow(cx));
                self.has_stalled = true;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        written
    }

    /// Ends what is read where there are too many control frames while nothing is open.
    pub(super) fn with_watch(mut self: Box<Self>, frames: Frames, open: &Arc<Open>) -> Box<Self> {
        self.watch = Some(Watch::new(frames, open));
        self
    }

    fn has_more_to_come(&self) -> bool {
        let is_flooded = self.watch.as_ref().is_some_and(|watch| watch.goodbye.is_some());
        is_flooded || self.heads.as_ref().is_some_and(|heads| !lock(&heads.requests).is_between_requests())
    }

    /// Says the last word, if there is one. All of hyper's is written by then.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(goodbye) = self.watch.as_mut().and_then(|watch| watch.goodbye.as_mut()) else {
            return Poll::Ready(Ok(()));
        };
        while !goodbye.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, goodbye))?;
            goodbye.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our side, and reads until the client ends its own, within limits.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(self.poll_goodbye(cx))?;
            // `--linger 0s`: it is to be reset, and an end in good order would leave something behind (`TIME_WAIT`).
            if SockRef::from(&self.stream).linger()? == Some(Duration::ZERO) {
                self.has_ended = true;
                return Poll::Ready(Ok(()));
            }
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        let time = if self.has_more_to_come() { LINGER_TIME } else { LINGER_TIME_BETWEEN };
        let linger = self.linger.get_or_insert_with(|| Linger { timer: Box::pin(sleep(time)), left: LINGER_OCTETS });
        let mut octets = [const { MaybeUninit::uninit() }; READ];
        while linger.left > 0 && linger.timer.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut octets);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            linger.left = linger.left.saturating_sub(buffer.filled().len());
        }
        self.has_ended = true;
        Poll::Ready(Ok(()))
    }

    fn poll_octets(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
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
}

impl Wire {
    /// Reads what the client sends, and gives hyper what is written in its place.
    fn poll_read_requests(&mut self, cx: &mut Context<'_>, mut cursor: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        loop {
            let Some(heads) = &mut self.heads else { return Poll::Ready(Ok(())) };
            if heads.give_ahead(&mut cursor) {
                return Poll::Ready(Ok(()));
            }
            match lock(&heads.requests).end() {
                Some(End::Malformed) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                // All that is left to do is to answer; what the client still sends is read when the connection ends.
                Some(End::Refused) => return Poll::Pending,
                Some(End::Last) | None => {}
            }
            let mut octets = [const { MaybeUninit::uninit() }; READ];
            let mut buffer = ReadBuf::uninit(&mut octets[..READ.min(cursor.remaining())]);
            let polled = self.poll_octets(cx, &mut buffer);
            let Some(heads) = &mut self.heads else { return Poll::Ready(Ok(())) };
            let is_end = matches!(polled, Poll::Ready(Ok(()))) && buffer.filled().is_empty();
            // A client that waits for an answer is not idle (rule K11), and it may have nothing more to say.
            if (polled.is_pending() || is_end && heads.is_half_close_fine) && heads.is_answering() {
                heads.has_put_off = true;
                if is_end {
                    ready!(heads.poll_gone(&self.stream, cx));
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                return Poll::Pending;
            }
            if polled.is_pending() {
                ready!(heads.poll_timeout(cx));
                if !heads.time_out(&mut cursor) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                return Poll::Ready(Ok(()));
            }
            ready!(polled)?;
            if is_end || heads.feed(buffer.filled(), &mut cursor) {
                return Poll::Ready(Ok(()));
            }
            // What comes behind the last request is not wanted: the client has to keep it.
            if lock(&heads.requests).end() == Some(End::Last) {
                heads.has_put_off = true;
                return Poll::Pending;
            }
        }
    }
}

impl hyper::rt::Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heads.is_some() {
            return self.poll_read_requests(cx, cursor);
        }
        // Only unsafe code may read straight into hyper's buffer, so the octets take a detour over the stack.
        let mut octets = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut octets[..READ.min(cursor.remaining())]);
        ready!(self.poll_octets(cx, &mut buffer))?;
        if let Some(watch) = &mut self.watch {
            let admitted = watch.admit(buffer.filled());
            buffer.set_filled(admitted);
        }
        cursor.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.keep_pace(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut small = [0; SMALL];
        let stream = Pin::new(&mut self.stream);
        let written = match join(parts, &mut small) {
            Some(octets) => stream.poll_write(cx, octets),
            None => stream.poll_write_vectored(cx, parts),
        };
        self.keep_pace(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if let Some(heads) = &mut self.heads {
            heads.turn.flushed();
            if heads.has_put_off && heads.turn.is_hypers() {
                heads.has_put_off = false;
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx)
    }
}
