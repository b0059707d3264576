//! Passes the exchanges of an HTTP/2 connection to their recordings.
//!
//! The frames of several exchanges share a connection, so what is recorded is the head in the form of HTTP/1, the
//! content as it is read from hyper and given to it, and the trailers as lines.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use wasmserve_gateway::{environ::Peer, request::RequestHead};

use crate::{
    capture::{
        record::{Ending, Origin, Protocol},
        recording::Recording,
        store::Store,
    },
    exchange::Reply,
};

/// The recordings of one connection.
pub(super) struct Recorder {
    store: Arc<Store>,
    origin: Origin,
    peer: Peer,
    connection: u64,
    /// How many requests have begun.
    begun: AtomicU32,
}

impl Recorder {
    /// A recorder for a new connection.
    pub(super) fn new(store: &Arc<Store>, origin: Origin, peer: Peer) -> Self {
        let connection = store.next_connection();
        Self { store: Arc::clone(store), origin, peer, connection, begun: AtomicU32::new(0) }
    }

    /// Begins the recording of a request with this head, which may be all of it. It is not exact if it was malformed.
    pub(super) fn begin(&self, head: &RequestHead, is_exact: bool, is_whole: bool) -> Option<Recording> {
        let place = (self.connection, self.begun.fetch_add(1, Ordering::Relaxed) + 1);
        let now = Instant::now();
        let recording = Recording::begin(&self.store, now, self.origin.clone(), Protocol::Http2, self.peer, place)?;
        recording.received(now, head.raw());
        recording.head_received();
        if !is_exact {
            recording.request_is_inexact();
        }
        if is_whole {
            recording.request_ended(Ending::Whole);
        }
        Some(recording)
    }
}

/// What is recorded of a response.
pub(super) struct Sent {
    recording: Recording,
    is_whole: bool,
}

impl Sent {
    /// Records the head of a response.
    pub(super) fn begin(recording: Recording, response: &http::Response<Reply>) -> Self {
        let status = response.status();
        let line = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
        let mut head = line.into_bytes();
        put_fields(&mut head, response.headers());
        head.extend_from_slice(b"\r\n");
        recording.sent(Instant::now(), &head);
        recording.head_sent();
        Self { recording, is_whole: response.body().is_end_stream() }
    }

    /// Records a frame of the body, or its end.
    pub(super) fn frame(&mut self, frame: Option<&Frame<Bytes>>) {
        let now = Instant::now();
        let Some(frame) = frame else {
            self.is_whole = true;
            return;
        };
        frame.data_ref().into_iter().for_each(|data| self.recording.sent(now, data));
        if let Some(trailers) = frame.trailers_ref() {
            let fields = trailers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
            self.recording.trailers_sent(now, fields);
            self.is_whole = true;
        }
    }

    /// Records that the body is complete.
    pub(super) fn end(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.recording.response_ended(if self.is_whole { Ending::Whole } else { Ending::Broken });
    }
}

fn put_fields(head: &mut Vec<u8>, fields: &http::HeaderMap) {
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
}
