//! Handlers in ordinary tests, without wasm: made-up requests, and what becomes of them.
//!
//! ```
//! use wasmserve_guest::{Environ, testing::call};
//!
//! fn app(environ: Environ) -> std::io::Result<String> {
//!     Ok(format!("{}\n", environ.form()?))
//! }
//!
//! # fn form_is_shown() {
//! let environ = Environ::made([("REQUEST_METHOD", "POST")]).with_input("abc=def");
//! let answer = call(app, environ);
//! assert_eq!(answer.status, "200 OK");
//! assert_eq!(answer.body, b"{'abc': ['def']}\n");
//! # }
//! # form_is_shown();
//! ```
//!
//! `call(validator(app), environ)` also tells whether the handler keeps to the contract, see [`validator`](crate::validator).

use crate::{
    Application, Environ, ReadError, Value, application, environ,
    gateway::{Gateway, Host},
};

/// What a handler answered.
///
/// ```
/// # use wasmserve_guest::{Environ, testing::call};
/// let answer = call(|_: Environ| (404, "no\n"), Environ::made([]));
/// assert_eq!((&*answer.status, &*answer.body, answer.fault), ("404 Not Found", &b"no\n"[..], None));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status: `200 OK`. As from the host, it is `500 Internal Server Error` after a fault that left nothing else to
    /// send.
    pub status: String,
    /// The header fields that the handler gave.
    pub headers: Vec<(String, Value)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// The chunks in which it was sent, without empty ones.
    pub chunks: Vec<Vec<u8>>,
    /// Whether the body was sent at once and as a whole, so that the host knows its length.
    pub length_known: bool,
    /// The lines of the log.
    pub log: Vec<String>,
    /// Why the host would not take this for a complete answer.
    pub fault: Option<String>,
}

impl Answer {
    /// The first header field of a name, in any case.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, testing::call};
    /// let answer = call(|_: Environ| "text\n", Environ::made([]));
    /// assert_eq!(answer.header("content-type").unwrap(), &"text/plain; charset=utf-8");
    /// ```
    pub fn header(&self, name: &str) -> Option<&Value> {
        let mut headers = self.headers.iter();
        headers.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Lets a handler answer a request, as the host would: with the contract of `start_response` and `write`. A panic stays a
/// panic.
///
/// ```
/// # use wasmserve_guest::{Environ, testing::call};
/// assert_eq!(call(|_: Environ| "text\n", Environ::made([])).body, b"text\n");
/// ```
pub fn call<M>(application: impl Application<M>, environ: Environ) -> Answer {
    let gateway = environ.gateway.clone();
    let outcome = application::handle(application, environ);
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

/// Made-up requests, for tests.
impl Environ {
    /// A request with these variables, and with what else there has to be: without any it is `GET / HTTP/1.1` from
    /// this machine.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([("PATH_INFO", "/a"), ("HTTP_ACCEPT", "text/html")]);
    /// assert!(environ.method() == "GET" && environ.path() == "/a");
    /// ```
    pub fn made<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let gateway = Gateway::new(Host::default());
        gateway.with(|exchange| {
            for (name, value) in DEFAULTS.into_iter().chain(variables) {
                exchange.set(name, value.into());
            }
        });
        Self::new(gateway)
    }

    /// The same with another variable, whose value may be octets.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([]).with("HTTP_X_NAME", b"caf\xe9");
    /// assert_eq!(environ.get("HTTP_X_NAME").unwrap().latin1(), "café");
    /// ```
    pub fn with(self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.gateway.with(|exchange| exchange.set(name, value.into()));
        self
    }

    /// The same with a body and its `CONTENT_LENGTH`.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([]).with_input("abc=def");
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

    /// The same with an error in place of the end of the body.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, ReadError};
    /// let environ = Environ::made([]).with_input("abc=d").with_read_error(ReadError::Disconnected);
    /// assert!(environ.form().is_err());
    /// ```
    pub fn with_read_error(self, error: ReadError) -> Self {
        self.gateway.with(|exchange| exchange.read_error = Some(error));
        self
    }

    /// The same with a head as it came off the wire. Without it the head is what the variables say.
    ///
    /// ```
    /// # use wasmserve_guest::Environ;
    /// let environ = Environ::made([]).with_raw_head("GET / HTTP/1.1\r\nhOsT: a\r\n\r\n");
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
