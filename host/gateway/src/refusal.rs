//! Why a request is refused before it reaches a handler.

use std::borrow::Cow;

/// Why a request is refused before it reaches a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is malformed, too large, or uses an unsupported feature.
    Invalid {
        /// The status of the response, from 400 to 599.
        status: u16,
        /// What is wrong with the request, shown to the client and in the log.
        why: Cow<'static, str>,
    },
    /// The `Content-Length` exceeds every possible limit.
    BodyTooLarge,
}

impl Refusal {
    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid { status, .. } => *status,
            Self::BodyTooLarge => 413,
        }
    }

    /// A refusal with a fixed text.
    pub(crate) fn new(status: u16, why: &'static str) -> Self {
        Self::Invalid { status, why: why.into() }
    }
}
