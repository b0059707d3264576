//! The protocol between HTTP and a handler, in words: what a request says, what a response may say.
//!
//! Pure: these modules know bytes and the types of `http`. This package depends on no runtime, no socket, no clock and no wasmtime, and
//! it also compiles for `wasm32-wasip2`. The rules that it follows are those of PEP 3333, RFC 3875, RFC 9110 and RFC 9112;
//! tests carry the number that a rule has in `tests/rules.md`.

pub mod environ;
pub mod escape;
pub mod field;
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
