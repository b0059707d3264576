//! Makes components out of components. Everything here is pure: from bytes to bytes.

mod allocator;
pub(crate) mod export;
pub(crate) mod wrap;
