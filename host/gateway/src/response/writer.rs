//! The handler's end of a response.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::state::{End, Head, State, WriteError, lock, wake};
use crate::{
    field::Field,
    head::{ResponseHead, StartError},
};

/// What a handler still owed when it returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndError {
    /// A response: it never called `start_response`.
    NoStartResponse,
    /// A response that can be sent: its last head was refused.
    BadHead(StartError),
    /// The rest of a body whose length it gave.
    ShortBody {
        /// How many bytes are missing.
        missing: u64,
    },
    /// The rest of a body, as it reported an exception in the middle of it.
    Exception(String),
}

/// The handler's end.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Mutex<State>>,
    exception: Option<Vec<u8>>,
}

impl Writer {
    pub(super) fn new(shared: &Arc<Mutex<State>>) -> Self {
        Self { shared: Arc::clone(shared), exception: None }
    }

    /// `start_response(status, fields, exc_info)`. Sends nothing yet (rule S1).
    ///
    /// # Errors
    ///
    /// What PEP 3333 has raise an exception: a malformed head, and a second call without `exception`. The first response
    /// then stands.
    pub fn start(&mut self, status: &str, fields: Vec<Field>, exception: Option<Vec<u8>>) -> Result<(), StartError> {
        let is_retry = exception.is_some();
        if is_retry {
            self.exception = exception;
        }
        let mut state = lock(&self.shared);
        match state.head {
            Head::Sent(_) if is_retry => {
                // Rule S4: what has left is no whole response any more.
                state.has_failed = true;
                return Err(StartError::HeadersSent);
            }
            Head::Held(_) | Head::Refused(_) | Head::Sent(_) if !is_retry => return Err(StartError::AlreadyStarted),
            _ => {}
        }
        match ResponseHead::check(status, fields, state.rules.limits) {
            Ok(head) => {
                state.head = Head::Held(head);
                Ok(())
            }
            Err(error) => {
                state.head = Head::Refused(error.clone());
                Err(error)
            }
        }
    }

    /// Sends a chunk and waits while too much waits for the client (rules B7, B8). An empty one does nothing (rule B5).
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.push(chunk)?;
        self.space().await
    }

    /// The first half of [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn push(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        let mut state = lock(&self.shared);
        state.check_writable()?;
        if chunk.is_empty() {
            return Ok(());
        }
        state.commit(None);
        state.push(chunk)
    }

    /// The second half of [`write`](Self::write): ready when not too much waits for the client.
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn space(&self) -> impl Future<Output = Result<(), WriteError>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        poll_fn(move |cx| lock(&shared).poll_space(cx))
    }

    /// Sends the last chunk and ends the response. Never waits.
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn finish(&mut self, last: Bytes) -> Result<(), WriteError> {
        let mut state = lock(&self.shared);
        state.check_writable()?;
        state.commit(Some(last.len() as u64));
        let pushed = state.push(last);
        state.end();
        pushed
    }

    /// The end of `handle`, which is the end of the response too, whatever was said before.
    ///
    /// # Errors
    ///
    /// What the handler still owes: a response at all, or the rest of a body whose length it gave.
    pub fn end(&mut self) -> Result<(), EndError> {
        let mut state = lock(&self.shared);
        match &state.head {
            Head::Unstarted => return Err(EndError::NoStartResponse),
            Head::Refused(error) => return Err(EndError::BadHead(error.clone())),
            Head::Held(_) => state.commit(Some(0)),
            Head::Sent(_) => {}
        }
        state.end();
        match state.end {
            Some(End::Cut { .. }) if state.has_failed => {
                let exception = self.exception.take().unwrap_or_default();
                Err(EndError::Exception(String::from_utf8_lossy(&exception).into_owned()))
            }
            Some(End::Cut { missing }) => Err(EndError::ShortBody { missing }),
            _ => Ok(()),
        }
    }

    /// What the client did not get although the handler wrote it, in words, if there is anything to say (rules B1, B10).
    #[must_use]
    pub fn unsent(&self) -> Option<String> {
        let State { unsent, is_bodyless, rules, .. } = &*lock(&self.shared);
        match (*unsent, *is_bodyless) {
            (0, _) => None,
            _ if rules.is_head => None,
            (octets, true) => Some(format!("{octets} octets of a body were dropped: its status has none")),
            (octets, false) => Some(format!("{octets} octets beyond the Content-Length were cut off")),
        }
    }

    /// Whether the client still listens, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        lock(&self.shared).gone.is_none()
    }

    /// The text of the last `exc_info`, once.
    pub fn take_exception(&mut self) -> Option<Vec<u8>> {
        self.exception.take()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        if state.end.is_none() {
            state.end = Some(End::Cut { missing: state.left.unwrap_or(0) });
        }
        wake(&mut state.on_chunk);
    }
}
