//! The handler's end of a response.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::{
    state::{End, Head, ResponseRules, State, WriteError, lock, wake},
    trailers::Takes,
};
use crate::{
    field::Field,
    head::{HeadLimits, ResponseHead, StartError},
};

/// What was missing when a handler returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndError {
    /// The response: `start_response` was never called.
    NoStartResponse,
    /// A valid head: the last one was rejected.
    BadHead(StartError),
    /// The rest of a body whose length was declared.
    ShortBody {
        /// How many bytes are missing.
        missing: u64,
    },
    /// The rest of a body, because the handler reported an exception in the middle of it.
    Exception(String),
}

/// Messages about what a handler passed but the client did not get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    /// About the body (rules B1, B10).
    pub body: Option<String>,
    /// About the trailers (rule B13).
    pub trailers: Vec<String>,
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
    /// Where PEP 3333 raises an exception: for a malformed head, and for a second call without `exception`, after which
    /// the first response still stands.
    pub fn start(&mut self, status: &str, fields: Vec<Field>, exception: Option<Vec<u8>>) -> Result<(), StartError> {
        let is_retry = exception.is_some();
        if is_retry {
            self.exception = exception;
        }
        let mut state = lock(&self.shared);
        match state.head {
            Head::Sent(_) if is_retry => {
                // Rule S4: the part already sent cannot become a complete response any more.
                state.has_failed = true;
                return Err(StartError::HeadersSent);
            }
            Head::Redirected(_) => return Err(StartError::AlreadyStarted),
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

    /// Asks for the response to another request instead: a GET of this path and query (RFC 3875 section 6.2.2). That
    /// request is made when the handler has ended without a fault. Must not be called after [`start`](Self::start).
    pub fn redirect(&mut self, location: Bytes) {
        lock(&self.shared).head = Head::Redirected(location);
    }

    /// Announces trailers in a `Trailer` field, of which `list` is the value. Clients of HTTP/1.1 get no others, unless
    /// the head is sent with the end of the body. Without effect if the head is sent already, or the client takes none.
    pub fn announce_trailers(&mut self, list: &[u8]) {
        let mut state = lock(&self.shared);
        let limits = state.rules.limits;
        state.trailers.get_or_insert_default().announce(list, limits);
    }

    /// Sends a chunk and waits while too much data waits for the client (rules B7, B8). An empty chunk does nothing
    /// (rule B5).
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.push(chunk)?;
        self.space().await
    }

    /// The first half of [`write`](Self::write): queues the chunk without waiting.
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

    /// The second half of [`write`](Self::write): waits until the client has taken enough.
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn space(&self) -> impl Future<Output = Result<(), WriteError>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        poll_fn(move |cx| lock(&shared).poll_space(cx))
    }

    /// Sends the last chunk and ends the response. Never blocks.
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn finish(&mut self, last: Bytes) -> Result<(), WriteError> {
        self.finish_with(last, Vec::new())
    }

    /// Like [`finish`](Self::finish), with trailers. Those that cannot be sent are dropped, which
    /// [`unsent`](Self::unsent) reports (rule B13).
    ///
    /// # Errors
    ///
    /// See [`WriteError`].
    pub fn finish_with(&mut self, last: Bytes, trailers: Vec<Field>) -> Result<(), WriteError> {
        let mut state = lock(&self.shared);
        state.check_writable()?;
        let has_trailers = state.set_trailers(trailers);
        state.commit(if has_trailers { None } else { Some(last.len() as u64) });
        let pushed = state.push(last);
        state.end();
        pushed
    }

    /// A whole response: [`start`](Self::start), then [`finish`](Self::finish). Never blocks.
    ///
    /// # Errors
    ///
    /// Those of `start`. A body that is longer than its Content-Length is cut off, and a client that has left is no error.
    pub fn respond(&mut self, status: &str, fields: Vec<Field>, body: Bytes) -> Result<(), StartError> {
        self.start(status, fields, None)?;
        _ = self.finish(body);
        Ok(())
    }

    /// Whether the handler declared a Content-Length, so that [`end`](Self::end) knows whether something is missing.
    #[must_use]
    pub fn has_declared_length(&self) -> bool {
        let state = lock(&self.shared);
        match &state.head {
            Head::Held(head) => head.length.is_some(),
            _ => state.left.is_some(),
        }
    }

    /// Ends the response when `handle` returns, even if the handler did not finish it.
    ///
    /// # Errors
    ///
    /// What is missing: the whole response, or the rest of a body whose length was declared.
    pub fn end(&mut self) -> Result<(), EndError> {
        let mut state = lock(&self.shared);
        match &state.head {
            Head::Unstarted => return Err(EndError::NoStartResponse),
            Head::Refused(error) => return Err(EndError::BadHead(error.clone())),
            Head::Held(_) => state.commit(Some(0)),
            Head::Sent(_) | Head::Redirected(_) => {}
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

    /// What the handler passed but the client did not get.
    #[must_use]
    pub fn unsent(&self) -> Unsent {
        let State { unsent, is_bodyless, rules, trailers, .. } = &*lock(&self.shared);
        let body = match (*unsent, *is_bodyless) {
            (0, _) => None,
            _ if rules.is_head => None,
            (bytes, true) => {
                Some(format!("{bytes} bytes of the body were dropped: a response with this status has no body"))
            }
            (bytes, false) => Some(format!("{bytes} bytes beyond the Content-Length were cut off")),
        };
        let trailers = trailers.as_ref().map(|trailers| trailers.dropped().to_vec()).unwrap_or_default();
        Unsent { body, trailers }
    }

    /// Whether the client is still connected, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        lock(&self.shared).gone.is_none()
    }

    /// Takes the text of the last `exc_info`.
    pub fn take_exception(&mut self) -> Option<Vec<u8>> {
        self.exception.take()
    }
}

impl Default for Writer {
    /// The writer of a response that is not read.
    fn default() -> Self {
        let limits = HeadLimits { bytes: 0, fields: 0 };
        Self::new(&Arc::new(Mutex::new(State::new(ResponseRules { is_head: false, trailers: Takes::Nothing, limits }))))
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
