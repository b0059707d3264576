//! The socket of an HTTP/2 connection as hyper sees it: floods of control frames end it.

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

/// The socket of an HTTP/2 connection.
pub(super) struct Http2Wire {
    socket: Socket,
    frames: Frames,
    open: Arc<Open>,
    /// The rest of the GOAWAY frame to send after a flood. Once set, nothing more is read, and hyper sees the end of
    /// input.
    go_away: Option<Bytes>,
}

impl Http2Wire {
    /// A wire that ends the connection on a flood of control frames without an exchange.
    pub(super) fn new(socket: Socket, frames: Frames, open: &Arc<Open>) -> Self {
        Self { socket, frames, open: Arc::clone(open), go_away: None }
    }

    /// Returns how many of these bytes hyper may read.
    fn admit(&mut self, bytes: &[u8]) -> usize {
        let admitted = self.frames.admit(bytes, self.open.has_any(), Instant::now().into_std());
        if self.frames.is_flood() && self.go_away.is_none() {
            self.go_away = Some(self.frames.go_away().into());
        }
        admitted
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Err(_))) && self.socket.has_stalled() {
            self.open.set_stalled();
        }
    }

    /// Sends the GOAWAY frame, if there is one. hyper has written everything by then.
    fn poll_go_away(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(go_away) = &mut self.go_away else { return Poll::Ready(Ok(())) };
        while !go_away.is_empty() {
            let written = ready!(self.socket.poll_write(cx, go_away))?;
            go_away.advance(written);
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
        // Reading directly into hyper's buffer needs unsafe code, so copy through the stack.
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
            ready!(self.poll_go_away(cx))?;
        }
        let time = if self.go_away.is_some() { LINGER_TIME } else { LINGER_TIME_BETWEEN };
        self.socket.poll_end(cx, time, |_| {})
    }
}
