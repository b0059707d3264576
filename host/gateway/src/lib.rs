//! The protocol between HTTP and a handler: what a request contains, and what a response may contain.
//!
//! This package is pure: it uses bytes and the types of `http`, and depends on no runtime, sockets, clock or wasmtime.
//! It also compiles for `wasm32-wasip2`. It follows the rules of PEP 3333, RFC 3875, RFC 9110 and RFC 9112; tests carry
//! the numbers that the rules have in `tests/rules.md`.
//!
//! wasmserve uses it, and so do the components that `wasmserve export` writes. Another host can use it too.
//!
//! # Another host
//!
//! A host implements the interfaces that handlers import, which `wasmserve wit` writes as text. This package has what is
//! behind their functions:
//!
//! | interface | is |
//! |---|---|
//! | `environ` | a [`RequestHead`](request::RequestHead), and the variables that [`environ::build`] makes of it |
//! | `input` | an [`Input`](input::Input), made of any [`Body`](http_body::Body) |
//! | `response` | the [`Writer`](response::Writer) of a [`response::channel`], whose [`Reader`](response::Reader) is sent |
//! | `errors` | a line for the host's log, which [`escape`](escape::escape) makes harmless |
//!
//! With wasmtime, it takes these fifty lines and a table of the errors:
//!
//! ```ignore
#![doc = include_str!("../examples/host/world.rs")]
//! ```
//!
//! The rest of a host is an exchange. A request comes from [`stream::Parser`], or from another parser as a head that is
//! written down again, and is refused by [`RequestHead::check`](request::RequestHead::check). Then the handler is called,
//! and what it writes is sent as [`Reader`](response::Reader) returns it, with the framing that the head has. At the end:
//!
//! - If `handle` returns `ok`, [`Writer::end`](response::Writer::end) says what is missing, if anything.
//! - If it returns `err` or traps, the writer is dropped.
//! - In both cases, a response that has begun ends as the reader says: after [`Cut`](response::Cut), the client must see
//!   that it is incomplete. One that has not begun is a 500.
//!
//! `examples/host` in the package's sources is such a host, with sockets and threads. The table of behaviours that
//! wasmserve is tested with is run on it, too.

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
pub mod responses;
pub mod stream;
mod version;

pub use self::field::Field;
