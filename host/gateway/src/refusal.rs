//! Why a request is refused before a handler sees it.

use std::borrow::Cow;

/// Why a request is refused before a handler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is malformed, too large, or asks for what is not supported.
    Invalid {
        /// The status of the answer, from 400 to 599.
        status: u16,
        /// What is wrong with the request, for the client and the log.
        why: Cow<'static, str>,
    },
    /// The body is longer than any limit allows.
    BodyTooLarge,
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid { status, .. } => *status,
            Self::BodyTooLarge => 413,
        }
    }

    /// A request that is wrong in a way that has a fixed text.
    pub(crate) fn new(status: u16, why: &'static str) -> Self {
        Self::Invalid { status, why: why.into() }
    }
}
