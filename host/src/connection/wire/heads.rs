//! What a wire of HTTP/1 knows of the heads on it: how long each may take, and whether a client that has ended its side is gone.

use std::{
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use hyper::rt::ReadBufCursor;
use tokio::{net::TcpStream, time::Instant};

use super::super::{
    patience::Patience,
    requests::{Requests, lock},
    turn::Turn,
};
use crate::{config::Limits, gateway::stream::Awaited};

/// The heads on a connection, and how long we wait for them.
pub(super) struct Heads {
    pub(super) requests: Arc<Mutex<Requests>>,
    /// What is written for hyper and did not fit into what it has read.
    pub(super) ahead: BytesMut,
    /// Whether hyper answers for us, or by itself.
    pub(super) turn: Arc<Turn>,
    /// How long a head may take.
    head_timeout: Duration,
    /// How long nothing may come between two requests.
    keep_alive: Duration,
    /// What we wait for, and since how many heads.
    awaited: (Awaited, u64),
    patience: Patience,
    /// Whether a client that has ended its side may still wait for its answer (rule K9).
    pub(super) is_half_close_fine: bool,
    /// Whether hyper was told that there is nothing to read while an answer is made, so that it has to ask again after it.
    pub(super) has_put_off: bool,
    /// When to look next whether a client that has ended its side is still there.
    probe: Option<Patience>,
}

/// How long an answer takes before a client that has ended its side is asked whether it still waits.
const PROBE: Duration = Duration::from_millis(200);

/// How it is asked: whoever is gone cannot take this and resets the connection, and whoever is there has to expect it
/// (RFC 9110 section 15.2).
const INTERIM: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

impl Heads {
    /// The first one is awaited since the connection was accepted.
    pub(super) fn new(
        requests: &Arc<Mutex<Requests>>,
        turn: &Arc<Turn>,
        limits: &Limits,
        is_half_close_fine: bool,
        accepted: Instant,
    ) -> Self {
        Self {
            requests: Arc::clone(requests),
            ahead: BytesMut::new(),
            turn: Arc::clone(turn),
            head_timeout: limits.head_timeout,
            keep_alive: limits.keep_alive,
            awaited: (Awaited::Head, 0),
            patience: Patience::until(accepted + limits.head_timeout),
            is_half_close_fine,
            has_put_off: false,
            probe: None,
        }
    }

    /// Gives hyper what was written for it before; whether there was anything.
    pub(super) fn give_ahead(&mut self, cursor: &mut ReadBufCursor<'_>) -> bool {
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
    pub(super) fn feed(&mut self, octets: &[u8], cursor: &mut ReadBufCursor<'_>) -> bool {
        let before = cursor.remaining();
        lock(&self.requests).feed(octets, |written| put(cursor, &mut self.ahead, written));
        cursor.remaining() < before
    }

    /// Refuses the head that has not come in time; whether there is one to refuse.
    pub(super) fn time_out(&mut self, cursor: &mut ReadBufCursor<'_>) -> bool {
        lock(&self.requests).time_out(|written| put(cursor, &mut self.ahead, written))
    }

    /// Whether the client has sent its request and waits for the answer. What comes then is a reset, which hyper has to know
    /// of, the end of the client's side, or another request.
    pub(super) fn is_answering(&self) -> bool {
        !self.turn.is_hypers() && lock(&self.requests).is_between_requests()
    }

    /// Ready when a client that has ended its side turns out to be gone.
    pub(super) fn poll_gone(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let probe = self.probe.get_or_insert_with(|| Patience::until(Instant::now() + PROBE));
        loop {
            ready!(probe.poll_end(cx));
            probe.renew(PROBE);
            if stream.take_error().is_ok_and(|error| error.is_some()) {
                return Poll::Ready(());
            }
            if self.turn.written() {
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
    pub(super) fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let awaited = lock(&self.requests).awaited();
        if awaited != self.awaited {
            self.awaited = awaited;
            match awaited.0 {
                Awaited::Head => self.patience.renew(self.head_timeout),
                Awaited::NextRequest => self.patience.renew(self.keep_alive),
                Awaited::Body | Awaited::Nothing => {}
            }
        }
        match awaited.0 {
            // How long a body may take is for its reader to say.
            Awaited::Body | Awaited::Nothing => Poll::Pending,
            Awaited::Head | Awaited::NextRequest => self.patience.poll_end(cx),
        }
    }
}

/// Writes for hyper: what does not fit now, it gets with its next read.
fn put(cursor: &mut ReadBufCursor<'_>, ahead: &mut BytesMut, written: &[u8]) {
    let fits = if ahead.is_empty() { written.len().min(cursor.remaining()) } else { 0 };
    cursor.put_slice(&written[..fits]);
    ahead.extend_from_slice(&written[fits..]);
}
