//! Captures exchanges: their exact bytes in both directions, when each part arrived, and what happened in between.
//!
//! A recording is an exchange while it runs. Its parts hold it as long as they have something to add; when the last one
//! lets go of it, it becomes a [`Record`](record::Record) in the [`Store`](store::Store), which passes it to its sinks.

pub mod archive;
pub(crate) mod collection;
pub mod export;
mod footprint;
pub mod message;
pub mod record;
pub(crate) mod recording;
pub mod redact;
#[cfg(test)]
pub(crate) mod sample;
pub mod script;
pub mod store;
pub mod time;
pub mod url;
pub mod warc;
