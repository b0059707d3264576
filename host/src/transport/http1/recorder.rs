//! Passes what is read from an HTTP/1 connection, and what is written to it, to the recordings of its exchanges.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use wasmserve_gateway::{
    environ::Peer,
    requests::Part,
    responses::{Piece, Responses},
};

use crate::capture::{
    record::{Ending, Origin, Protocol},
    recording::Recording,
    store::Store,
};

/// The recordings of one connection.
#[derive(Debug)]
pub(in super::super) struct Recorder {
    store: Arc<Store>,
    origin: Origin,
    peer: Peer,
    connection: u64,
    /// How many requests have begun to arrive.
    nth: u32,
    /// The request that is arriving. The inner one is `None` if it is not recorded.
    request: Option<Option<Recording>>,
    /// The requests that hyper has not read yet.
    begun: VecDeque<Option<Recording>>,
    /// The requests whose responses are not complete, and whether they are HEAD requests.
    answers: VecDeque<(Option<Recording>, bool)>,
    responses: Responses,
    /// Whether the connection was reset.
    is_reset: bool,
}

impl Recorder {
    /// A recorder for a new connection.
    pub(in super::super) fn new(store: &Arc<Store>, origin: Origin, peer: Peer) -> Self {
        Self {
            store: Arc::clone(store),
            origin,
            peer,
            connection: store.next_connection(),
            nth: 0,
            request: None,
            begun: VecDeque::new(),
            answers: VecDeque::new(),
            responses: Responses::default(),
            is_reset: false,
        }
    }

    /// Records a part of the input, which was read at `at`.
    pub(super) fn received(&mut self, at: Instant, part: Part<'_>) {
        if part.bytes.is_empty() && !part.is_start {
            return;
        }
        let recording = self.request.get_or_insert_with(|| {
            self.nth += 1;
            let place = (self.connection, self.nth);
            Recording::begin(&self.store, at, self.origin.clone(), Protocol::Http1, self.peer, place)
        });
        if let Some(recording) = recording {
            recording.received(at, part.bytes);
            if part.is_start {
                recording.head_received();
            }
            if part.is_end {
                recording.request_ended(Ending::Whole);
            }
        }
        if part.is_start {
            self.begun.push_back(recording.clone());
        }
        // What follows the last request of a connection is ignored, but not lost.
        if part.is_end && !part.is_last {
            self.request = None;
        }
    }

    /// Takes the recording of the request whose head hyper has just read.
    pub(super) fn take(&mut self, is_head: bool) -> Option<Recording> {
        let recording = self.begun.pop_front().flatten();
        self.answers.push_back((recording.clone(), is_head));
        recording
    }

    /// Records what the system has accepted at `at`.
    pub(super) fn sent(&mut self, at: Instant, mut bytes: &[u8]) {
        // What hyper writes without a request belongs to no exchange.
        while !bytes.is_empty()
            && let Some((recording, is_head)) = self.answers.front()
        {
            let before = bytes;
            let piece = self.responses.next(&mut bytes, *is_head);
            if let Some(recording) = recording {
                recording.sent(at, &before[..before.len() - bytes.len()]);
                match &piece {
                    Ok(Some(Piece::Head)) => recording.head_sent(),
                    Ok(_) => {}
                    Err(_) => recording.lost(),
                }
            }
            match piece {
                Ok(Some(Piece::Interim) | None) => {}
                Ok(Some(_)) if self.responses.is_between() => {
                    if let Some((Some(recording), _)) = self.answers.pop_front() {
                        recording.response_ended(Ending::Whole);
                    }
                }
                Ok(Some(_)) => {}
                // Nothing is certain about the rest of the connection.
                Err(_) => {
                    self.answers.clear();
                    self.begun.iter_mut().for_each(|recording| *recording = None);
                    self.request = Some(None);
                }
            }
        }
    }

    /// Records what was read at `at` and is ignored. It belongs to the last request, if that is the connection's last.
    pub(super) fn ignored(&self, at: Instant, bytes: &[u8]) {
        if let Some(Some(recording)) = &self.request {
            recording.received(at, bytes);
        }
    }

    /// Records that the client has closed its side.
    pub(super) fn closed(&self) {
        self.requests().for_each(|recording| recording.request_ended(Ending::Closed));
    }

    /// Records that the connection broke, or was reset.
    pub(super) fn broke(&mut self) {
        self.is_reset = true;
        self.requests().for_each(|recording| recording.request_ended(Ending::Broken));
    }

    /// The exchanges that have no complete response.
    fn requests(&self) -> impl Iterator<Item = &Recording> {
        let answered = self.answers.iter().filter_map(|(recording, _)| recording.as_ref());
        answered.chain(self.begun.iter().flatten()).chain(self.request.iter().flatten())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let ends = if self.responses.ends_with_connection() && !self.is_reset { Ending::Whole } else { Ending::Broken };
        if let Some((Some(recording), _)) = self.answers.front() {
            recording.response_ended(ends);
        }
    }
}
