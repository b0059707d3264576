//! What is known of filters everywhere: their interface, their options, and how to put them in front of a handler.

use std::sync::Arc;

/// The interface that a filter exports.
pub(crate) const FILTER: &str = "wasmserve:gateway/filter@0.1.0";

/// What the names of a filter's modules begin with, before the name of the filter.
pub(crate) const MARK: &str = "wasmserve:filter ";

/// An option of a filter: its name and its value.
pub(crate) type Setting = (String, String);

/// Puts filters in front of a handler: from its component to that of all.
pub(crate) type Around = Arc<dyn Fn(&[u8]) -> anyhow::Result<Vec<u8>> + Send + Sync>;
