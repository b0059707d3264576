//! What a file with a handler in it needs, with one `use`.
//!
//! ```
//! use wasmserve_guest::prelude::*;
//!
//! handler!(log(app));
//!
//! fn app(environ: Environ) -> Result<String> {
//!     let query = environ.query();
//!     let name = query.get("name").ok_or(Refusal::new(400, "say who you are: ?name="))?;
//!     Ok(format!("Hello, {name}!\n"))
//! }
//!
//! # fn whoever_it_is_is_greeted() {
//! let answer = testing::call(app, Environ::made([("QUERY_STRING", "name=you")]));
//! assert_eq!(answer.body, b"Hello, you!\n");
//! # }
//! # whoever_it_is_is_greeted();
//! ```
//!
//! [`Result`] takes the place of std's: its error is any [`Error`] unless one is named.

#[cfg(not(target_family = "wasm"))]
pub use crate::testing;
pub use crate::{
    Application, Cookie, Environ, Error, FileWrapper, IntoResponse, Refusal, Response, Result, Router, SameSite,
    StartResponse, Value, Verbs, Wrapped, basic_auth, credentials, handler, log, on_head, validator, wrap,
};
#[cfg(feature = "json")]
pub use crate::{Json, json, serde_json};
