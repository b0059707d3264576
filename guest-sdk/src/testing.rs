//! Unit tests for handlers, without wasm and without a server.
//!
//! ```
//! use wasmserve_guest::{Environ, testing::call};
//!
//! fn app(environ: Environ) -> std::io::Result<String> {
//!     Ok(format!("{}\n", environ.form()?))
//! }
//!
//! # fn the_form_is_shown() {
//! let environ = Environ::for_test([("REQUEST_METHOD", "POST")]).with_input("abc=def");
//! let answer = call(app, environ);
//! assert_eq!(answer.status, "200 OK");
//! assert_eq!(answer.body, b"{'abc': ['def']}\n");
//! # }
//! # the_form_is_shown();
//! ```
//!
//! `call(validator(app), environ)` also checks that the handler obeys the contract: see
//! [`validator`](crate::validator).
//!
//! This module exists in native builds only.

use std::rc::Rc;

use crate::{
    Application, Environ, ReadError, Value, application, environ,
    filter::{Filter, Options, Stage},
    gateway::{Gateway, Host},
};

/// The response of a handler, and what it logged.
///
/// ```
/// # use wasmserve_guest::{Environ, testing::call};
/// let answer = call(|_: Environ| (404, "no\n"), Environ::for_test([]));
/// assert_eq!((&*answer.status, &*answer.body, answer.fault), ("404 Not Found", &b"no\n"[..], None));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status line: `200 OK`. Like with the real host, it is `500 Internal Server Error` if the handler failed
    /// before it sent anything.
    pub status: String,
    /// The header fields that the handler set.
    pub headers: Vec<(String, Value)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// The chunks of the body, without empty ones.
    pub chunks: Vec<Vec<u8>>,
    /// Whether the body was sent in one piece, so that the host knows its length.
    pub length_known: bool,
    /// The lines that the handler logged.
    pub log: Vec<String>,
    /// Why the host would treat this response as failed.
    pub fault: Option<String>,
}

impl Answer {
    /// Returns the first header field of a name, which is compared case-insensitively.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, testing::call};
    /// let answer = call(|_: Environ| "text\n", Environ::for_test([]));
    /// assert_eq!(answer.header("content-type").unwrap(), &"text/plain; charset=utf-8");
    /// ```
    pub fn header(&self, name: &str) -> Option<&Value> {
        let mut headers = self.headers.iter();
        headers.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Calls a handler with a request. `start_response` and `write` behave as with the real host. A panic of the handler is
/// not caught.
///
/// ```
/// # use wasmserve_guest::{Environ, StartResponse, testing::call};
/// fn app(_environ: Environ, start_response: StartResponse) -> impl Iterator<Item = &'static str> {
///     start_response("200 OK", &[("Content-Type", "text/plain")]);
///     ["one\n", "two\n"].into_iter()
/// }
///
/// let answer = call(app, Environ::for_test([]));
/// assert_eq!(answer.chunks, [b"one\n", b"two\n"]);
/// ```
pub fn call<M>(application: impl Application<M>, environ: Environ) -> Answer {
    let gateway = environ.gateway.clone();
    let outcome = application::handle(application, environ);
    answer(&gateway, outcome)
}

/// Calls a handler behind a filter with these options; see [`Filter`].
///
/// ```
/// use wasmserve_guest::{filter::*, prelude::*};
///
/// struct Stamp;
///
/// impl Filter for Stamp {
///     fn new(_options: &Options) -> Result<Self> {
///         Ok(Self)
///     }
///
///     fn head(&mut self, head: &mut Head) -> Body {
///         head.set("X-Stamp", "seen");
///         Body::Same
///     }
/// }
///
/// let answer = testing::call_behind::<Stamp, _>(&[], |_: Environ| "text\n", Environ::for_test([]));
/// assert_eq!(answer.header("X-Stamp").unwrap(), &"seen");
/// ```
///
/// # Panics
///
/// Panics if the filter refuses its options.
pub fn call_behind<F: Filter, M>(
    options: &[(&str, &str)],
    application: impl Application<M>,
    environ: Environ,
) -> Answer {
    let gateway = environ.gateway.clone();
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let stage = Stage::<F>::new(&Options::new(options), &gateway).expect("the filter takes its options");
    let outcome = match stage.before() {
        Err(error) => Err(error),
        Ok(false) => stage.after(Ok(())),
        Ok(true) => {
            // The handler's environ is what the filter shows it.
            let seen = stage.copy_all();
            gateway.with(|exchange| exchange.environ = seen);
            let stage = Rc::new(stage);
            let before = gateway.with(|exchange| exchange.log.len());
            let outcome = gateway.under(&stage, || application::handle(application, Environ::new(gateway.clone())));
            for line in gateway.with(|exchange| exchange.log.split_off(before)) {
                stage.log(line.into_bytes());
            }
            stage.after(outcome)
        }
    };
    answer(&gateway, outcome)
}

/// What the host makes of a call.
fn answer(gateway: &Gateway, outcome: Result<(), String>) -> Answer {
    gateway.with(|exchange| {
        let response = &exchange.response;
        let fault = match outcome {
            Err(fault) => Some(fault),
            Ok(()) if response.head.is_none() => Some("start_response was not called".to_owned()),
            Ok(()) => None,
        };
        let (status, headers) = match &response.head {
            Some(head) if fault.is_none() || !response.chunks.is_empty() => head.clone(),
            _ => ("500 Internal Server Error".to_owned(), Vec::new()),
        };
        Answer {
            status,
            headers: environ::fields(headers),
            body: response.chunks.concat(),
            chunks: response.chunks.clone(),
            length_known: response.length_known,
            log: exchange.log.clone(),
            fault,
        }
    })
}

/// Requests for tests.
impl Environ {
    /// Creates a request with these variables, and defaults for the others that are always present. Without variables
    /// it is `GET / HTTP/1.1` from this machine.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([("PATH_INFO", "/a"), ("HTTP_ACCEPT", "text/html")]);
    /// assert!(environ.method() == "GET" && environ.path() == "/a");
    /// ```
    pub fn for_test<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let gateway = Gateway::new(Host::default());
        gateway.with(|exchange| {
            for (name, value) in DEFAULTS.into_iter().chain(variables) {
                exchange.set(name, value.into());
            }
        });
        Self::new(gateway)
    }

    /// Sets another variable, whose value may be bytes.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([]).with("HTTP_X_NAME", b"caf\xe9");
    /// assert_eq!(environ.get("HTTP_X_NAME").unwrap().latin1(), "café");
    /// ```
    pub fn with(self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.gateway.with(|exchange| exchange.set(name, value.into()));
        self
    }

    /// Sets the body and its `CONTENT_LENGTH`.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([]).with_input("abc=def");
    /// assert_eq!(environ.get("CONTENT_LENGTH"), Some("7".into()));
    /// ```
    pub fn with_input(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.gateway.with(|exchange| {
            exchange.set("CONTENT_LENGTH", body.len().to_string().into());
            exchange.input = body;
        });
        self
    }

    /// Sets the body as one that was sent in chunks: its length is unknown before its end, so there is no
    /// `CONTENT_LENGTH`.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([]).with_chunked_input("abc=def");
    /// assert_eq!(environ.get("CONTENT_LENGTH"), None);
    /// assert_eq!(environ.input().read_all(100)?, b"abc=def");
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn with_chunked_input(self, body: impl Into<Vec<u8>>) -> Self {
        self.gateway.with(|exchange| {
            exchange.set("HTTP_TRANSFER_ENCODING", "chunked".into());
            exchange.input = body.into();
        });
        self
    }

    /// Makes reading the body fail at its end.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, ReadError};
    /// let environ = Environ::for_test([]).with_input("abc=d").with_read_error(ReadError::Disconnected);
    /// assert!(environ.form().is_err());
    /// ```
    pub fn with_read_error(self, error: ReadError) -> Self {
        self.gateway.with(|exchange| exchange.read_error = Some(error));
        self
    }

    /// Makes the body arrive in chunks of `size` bytes.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([]).with_input("abcde").with_chunks_of(2);
    /// let chunks: Result<Vec<_>, _> = environ.input().chunks().collect();
    /// assert_eq!(chunks?, [&b"ab"[..], b"cd", b"e"]);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn with_chunks_of(self, size: usize) -> Self {
        self.gateway.with(|exchange| exchange.chunk = Some(size.max(1)));
        self
    }

    /// Sets the head as received. Without it, the head is derived from the variables.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::for_test([]).with_raw_head("GET / HTTP/1.1\r\nhOsT: a\r\n\r\n");
    /// assert_eq!(environ.raw_head(), b"GET / HTTP/1.1\r\nhOsT: a\r\n\r\n");
    /// ```
    pub fn with_raw_head(self, head: impl Into<Vec<u8>>) -> Self {
        self.gateway.with(|exchange| exchange.raw_head = Some(head.into()));
        self
    }
}

const DEFAULTS: [(&str, &str); 20] = [
    ("REQUEST_METHOD", "GET"),
    ("SCRIPT_NAME", ""),
    ("PATH_INFO", "/"),
    ("QUERY_STRING", ""),
    ("SERVER_NAME", "127.0.0.1"),
    ("SERVER_PORT", "8000"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("SERVER_SOFTWARE", "wasmserve"),
    ("GATEWAY_INTERFACE", "CGI/1.1"),
    ("REMOTE_ADDR", "127.0.0.1"),
    ("REMOTE_HOST", "127.0.0.1"),
    ("REMOTE_PORT", "40000"),
    ("HTTP_HOST", "127.0.0.1:8000"),
    ("wsgi.version", "1.0"),
    ("wsgi.url_scheme", "http"),
    ("wsgi.multithread", "0"),
    ("wsgi.multiprocess", "1"),
    ("wsgi.run_once", "1"),
    ("wsgi.input_terminated", "1"),
    ("wasmserve.request_id", "1"),
];
