//! The protocol between HTTP and a handler: what a request contains, and what a response may contain.
//!
//! This package is pure: it uses bytes and the types of `http`, and depends on no runtime, sockets, clock or wasmtime.
//! It also compiles for `wasm32-wasip2`. It follows the rules of PEP 3333, RFC 3875, RFC 9110 and RFC 9112; tests carry
//! the numbers that the rules have in `tests/rules.md`.

pub mod accept;
pub mod cgi;
pub mod environ;
pub mod escape;
pub mod field;
pub mod foreign;
pub mod forwarded;
mod framing;
pub mod head;
pub mod input;
pub mod lint;
pub mod mounts;
pub mod refusal;
pub mod request;
pub mod requests;
pub mod response;
pub mod stream;
mod version;

pub use self::field::Field;
