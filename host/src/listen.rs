//! The event listeners, one file each.

pub(crate) mod access_log;
pub(crate) mod exit_tracker;
pub(crate) mod metrics;
pub(crate) mod recorder;
