//! The protocol between HTTP and a handler, in words: what a request says, what a response may say.
//!
//! Pure: these modules know `http`'s types and octets; no wasmtime, no hyper, no socket. The rules that they follow are
//! those of PEP 3333, RFC 3875, RFC 9110 and RFC 9112; tests carry the number that a rule has in the project's list.

pub(crate) mod field;

pub mod request;

pub mod lint;

pub mod forwarded;

pub mod mounts;

pub mod environ;

pub mod input;

pub mod head;

mod framing;

pub mod stream;

pub mod response;

pub mod page;

/// One header line, or one variable of the environ.
pub type Field = (String, Vec<u8>);
