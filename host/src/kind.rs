//! The kinds of handlers, one file or folder for each.

pub(crate) mod bin;
pub(crate) mod files;
pub(crate) mod native;
pub(crate) mod wasm;
