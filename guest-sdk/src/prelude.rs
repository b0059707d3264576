//! Everything that most handlers need, with one `use`.
//!
//! ```
//! use wasmserve_guest::prelude::*;
//!
//! handler!(log(app));
//!
//! fn app(environ: Environ) -> Result<String> {
//!     let query = environ.query();
//!     let name = query.get("name").ok_or(Refusal::new(400, "give your name: ?name=..."))?;
//!     Ok(format!("Hello, {name}!\n"))
//! }
//!
//! # fn the_greeting_has_the_name() {
//! let answer = testing::call(app, Environ::for_test([("QUERY_STRING", "name=you")]));
//! assert_eq!(answer.body, b"Hello, you!\n");
//! # }
//! # the_greeting_has_the_name();
//! ```
//!
//! [`Result`] shadows the one of the standard library: its error type is [`Error`] unless you name another one.

#[cfg(not(target_family = "wasm"))]
pub use crate::testing;
pub use crate::{
    Application, Cookie, Environ, Error, Event, FileWrapper, IntoResponse, Refusal, Response, Result, Router, SameSite,
    Sse, StartResponse, Value, Verbs, Wrapped, basic_auth, credentials, handler, log, on_head, validator, wrap,
};
#[cfg(feature = "json")]
pub use crate::{Json, json, serde_json};
