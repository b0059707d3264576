//! What a wire of HTTP/2 looks out for.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::{frames::Frames, open::Open};

/// Looks out for floods of control frames.
pub(super) struct Watch {
    frames: Frames,
    open: Arc<Open>,
    /// What is still to be said after a flood: nothing is read any more then, and hyper takes it for the end.
    pub(super) goodbye: Option<Bytes>,
}

impl Watch {
    pub(super) fn new(frames: Frames, open: &Arc<Open>) -> Self {
        Self { frames, open: Arc::clone(open), goodbye: None }
    }

    /// How many of these octets may be read.
    pub(super) fn admit(&mut self, octets: &[u8]) -> usize {
        let admitted = self.frames.admit(octets, self.open.is_any(), Instant::now().into_std());
        if self.frames.is_flood() && self.goodbye.is_none() {
            self.goodbye = Some(self.frames.go_away().into());
        }
        admitted
    }
}
