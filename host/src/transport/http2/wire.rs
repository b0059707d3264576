//! The socket of a connection of HTTP/2, as hyper reads and writes it: floods of control frames end it.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use hyper::rt::ReadBufCursor;
use tokio::{io::ReadBuf, time::Instant};

use super::{
    super::socket::{LINGER_TIME, LINGER_TIME_BETWEEN, READ, Socket},
    frames::Frames,
    open::Open,
};

/// The socket of a connection of HTTP/2.
pub(super) struct Http2Wire {
    socket: Socket,
    frames: Frames,
    open: Arc<Open>,
    /// What is still to be said after a flood: nothing is read any more then, and hyper takes it for the end.
    goodbye: Option<Bytes>,
}

impl Http2Wire {
    /// A wire that ends where there are too many control frames while nothing is open.
    pub(super) fn new(socket: Socket, frames: Frames, open: &Arc<Open>) -> Self {
        Self { socket, frames, open: Arc::clone(open), goodbye: None }
    }

    /// How many of these bytes may be read.
    fn admit(&mut self, bytes: &[u8]) -> usize {
        let admitted = self.frames.admit(bytes, self.open.is_any(), Instant::now().into_std());
        if self.frames.is_flood() && self.goodbye.is_none() {
            self.goodbye = Some(self.frames.go_away().into());
        }
        admitted
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Err(_))) && self.socket.has_stalled() {
            self.open.set_stalled();
        }
    }

    /// Says the last word, if there is one. All of hyper's is written by then.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(goodbye) = &mut self.goodbye else { return Poll::Ready(Ok(())) };
        while !goodbye.is_empty() {
            let written = ready!(self.socket.poll_write(cx, goodbye))?;
            goodbye.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Read for Http2Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Only unsafe code may read straight into hyper's buffer, so the bytes take a detour over the stack.
        let mut bytes = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut bytes[..READ.min(cursor.remaining())]);
        ready!(self.socket.poll_read(cx, &mut buffer))?;
        let admitted = self.admit(buffer.filled());
        cursor.put_slice(&buffer.filled()[..admitted]);
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Http2Wire {
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
        self.socket.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.socket.is_ending() {
            ready!(self.poll_goodbye(cx))?;
        }
        let time = if self.goodbye.is_some() { LINGER_TIME } else { LINGER_TIME_BETWEEN };
        self.socket.poll_end(cx, time)
    }
}
