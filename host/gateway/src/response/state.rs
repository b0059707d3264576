//! The state shared by both ends of a response.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use http::header;

use super::trailers::{Takes, Trailers};
use crate::{
    field::Field,
    head::{HeadLimits, ResponseHead, StartError},
};

/// What the request implies for its response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseRules {
    /// Whether the request was a HEAD, so the response has no body (rule B9).
    pub is_head: bool,
    /// The trailers that the client takes (rule B13).
    pub trailers: Takes,
    /// Limits of the response head.
    pub limits: HeadLimits,
}

/// Why a chunk was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// `start_response` has not succeeded.
    NotStarted,
    /// The client is gone, or the response is already finished.
    Disconnected,
    /// The chunk exceeds `Content-Length`; the part that fits was accepted (rule B1).
    PastContentLength,
    /// The client took nothing for longer than the host waits.
    TimedOut,
}

/// Why the client takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It has left, or has all that it gets.
    Left,
    /// It was too slow, and given up.
    TimedOut,
}

/// How many bytes may wait for the client before `write` blocks (rule B8).
pub(super) const HIGH_WATER: usize = 64 << 10;

/// The states of a head.
#[derive(Debug)]
pub(super) enum Head {
    /// `start_response` has not been called.
    Unstarted,
    /// It was called and rejected; only a call with an exception may follow (rule S5).
    Refused(StartError),
    /// The head waits for the first byte of the body, or the end (rule S1).
    Held(ResponseHead),
    /// The head may be sent: `Some` until the reader takes it.
    Sent(Option<http::response::Parts>),
    /// There is no head: the response to another request is to be sent, a GET of this path and query.
    Redirected(Bytes),
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    /// Too early, by this many bytes if the length was declared.
    Cut {
        missing: u64,
    },
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) rules: ResponseRules,
    pub(super) head: Head,
    pub(super) chunks: VecDeque<Bytes>,
    /// The bytes in `chunks`.
    pub(super) waiting: usize,
    /// The bytes still missing from `Content-Length`.
    pub(super) left: Option<u64>,
    pub(super) is_bodyless: bool,
    /// Whether the handler reported an exception after the head was sent.
    pub(super) has_failed: bool,
    /// Bytes of the body that the handler wrote but that were not sent (rules B1, B10).
    pub(super) unsent: u64,
    /// Its trailers, for handlers that have any.
    pub(super) trailers: Option<Box<Trailers>>,
    pub(super) end: Option<End>,
    pub(super) gone: Option<Gone>,
    pub(super) on_chunk: Option<Waker>,
    pub(super) on_space: Option<Waker>,
}

impl State {
    /// The state before `start_response`.
    pub(super) fn new(rules: ResponseRules) -> Self {
        Self {
            rules,
            head: Head::Unstarted,
            chunks: VecDeque::new(),
            waiting: 0,
            left: None,
            is_bodyless: rules.is_head,
            has_failed: false,
            unsent: 0,
            trailers: None,
            end: None,
            gone: None,
            on_chunk: None,
            on_space: None,
        }
    }

    pub(super) fn check_writable(&self) -> Result<(), WriteError> {
        match self.head {
            Head::Unstarted | Head::Refused(_) | Head::Redirected(_) => Err(WriteError::NotStarted),
            Head::Held(_) | Head::Sent(_) if self.end.is_some() => Err(WriteError::Disconnected),
            Head::Held(_) | Head::Sent(_) => self.check_client(),
        }
    }

    /// Fails if the client is gone, and had not all that it gets.
    fn check_client(&self) -> Result<(), WriteError> {
        match self.gone {
            Some(_) if self.is_bodyless || self.left == Some(0) => Ok(()),
            Some(Gone::Left) => Err(WriteError::Disconnected),
            Some(Gone::TimedOut) => Err(WriteError::TimedOut),
            None => Ok(()),
        }
    }

    /// Releases a held head. `whole` is the length of the whole body, if known and if no trailers follow.
    pub(super) fn commit(&mut self, whole: Option<u64>) {
        self.head = match mem::replace(&mut self.head, Head::Unstarted) {
            Head::Held(head) => {
                self.is_bodyless = self.rules.is_head || head.is_bodyless();
                self.left = head.length;
                let may_have_trailers = whole.is_none() && self.left.is_none() && !self.is_bodyless;
                let trailers = self.trailers.as_ref().filter(|_| may_have_trailers);
                let announcement = trailers.and_then(|trailers| trailers.announcement());
                let mut parts = head.into_parts(whole);
                if let Some(names) = announcement.filter(|_| self.rules.trailers != Takes::Nothing) {
                    parts.headers.insert(header::TRAILER, names);
                }
                Head::Sent(Some(parts))
            }
            other => other,
        };
    }

    /// Accepts as much of a chunk as `Content-Length` allows, or drops it if the response has no body.
    pub(super) fn push(&mut self, mut chunk: Bytes) -> Result<(), WriteError> {
        let len = chunk.len();
        if let Some(left) = &mut self.left {
            chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= chunk.len() as u64;
        }
        let is_past = chunk.len() < len;
        let kept = if self.is_bodyless { 0 } else { chunk.len() };
        self.unsent += (len - kept) as u64;
        if kept > 0 {
            self.waiting += chunk.len();
            self.chunks.push_back(chunk);
        }
        wake(&mut self.on_chunk);
        if is_past { Err(WriteError::PastContentLength) } else { Ok(()) }
    }

    /// Accepts trailers, as far as this response can have any. Returns whether some will be sent.
    pub(super) fn set_trailers(&mut self, fields: Vec<Field>) -> bool {
        let (is_bodyless, has_length) = match &self.head {
            Head::Held(head) => (self.rules.is_head || head.is_bodyless(), head.length.is_some()),
            _ => (self.is_bodyless, self.left.is_some()),
        };
        if fields.is_empty() || is_bodyless {
            return false;
        }
        let is_head_held = matches!(self.head, Head::Held(_));
        let (rules, trailers) = (self.rules, self.trailers.get_or_insert_default());
        if has_length {
            // The response is complete with the last byte of its body (rule B1).
            return trailers.drop_all("a body with a Content-Length has none");
        }
        trailers.set(fields, rules.trailers, is_head_held, rules.limits)
    }

    /// Whether trailers wait for the reader.
    pub(super) fn has_trailers(&self) -> bool {
        self.trailers.as_ref().is_some_and(|trailers| trailers.has_any())
    }

    pub(super) fn poll_space(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if let Err(error) = self.check_client() {
            return Poll::Ready(Err(error));
        }
        if self.waiting <= HIGH_WATER || self.gone.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.on_space = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn end(&mut self) {
        if self.end.is_none() {
            let missing = self.left.filter(|_| !self.is_bodyless).unwrap_or(0);
            self.end = Some(if missing > 0 || self.has_failed { End::Cut { missing } } else { End::Finished });
        }
        wake(&mut self.on_chunk);
    }
}

/// Locks the state. It stays consistent even if a panic poisons the lock.
pub(super) fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
