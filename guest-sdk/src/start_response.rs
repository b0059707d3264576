//! WSGI's `start_response`.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    ops::Deref,
};

use crate::{Write, gateway::Gateway};

/// The `start_response` of PEP 3333. Call it like a function, as in Python:
///
/// ```
/// # use wasmserve_guest::{Environ, StartResponse};
/// fn app(_environ: Environ, start_response: StartResponse) -> &'static str {
///     start_response("200 OK", &[("Content-Type", "text/html")]);
///     "<!doctype html><title>Hello</title><p>Hello, World!\n"
/// }
/// # wasmserve_guest::testing::call(app, Environ::for_test([]));
/// ```
///
/// This sends nothing yet. The head is sent with the first byte of the body, or at the end. If the host rejects the
/// call (a second call, an invalid status, a header field with a line feed), it *raises* in Python; in Rust it panics,
/// and the client gets a 500. Use [`attempt`](Self::attempt) to get a `Result` instead.
pub struct StartResponse {
    gateway: Gateway,
    call: Box<Call>,
}

type Call = dyn Fn(&str, &[(&str, &str)]) -> Write;

impl StartResponse {
    pub(crate) fn new(gateway: Gateway) -> Self {
        let call = Box::new({
            let gateway = gateway.clone();
            move |status: &str, headers: &[(&str, &str)]| {
                start(&gateway, status, headers, None).unwrap_or_else(|error| panic!("{error}"))
            }
        });
        Self { gateway, call }
    }

    /// Starts the response, and returns an error if the host rejects it. The values of header fields may be bytes.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, StartError, StartResponse, testing::call};
    /// fn app(environ: Environ, start_response: StartResponse) -> Result<&'static str, StartError> {
    ///     // A value from outside may contain bytes that are not allowed in a field.
    ///     let language = environ.get("QUERY_STRING").unwrap_or_default();
    ///     start_response.attempt("200 OK", &[("Content-Language", language)])?;
    ///     Ok("Bonjour !\n")
    /// }
    /// # assert_eq!(call(app, Environ::for_test([("QUERY_STRING", "fr")])).header("content-language").unwrap(), &"fr");
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if a response was started before, or if the status or a header field is invalid.
    pub fn attempt(&self, status: &str, headers: &[(impl AsRef<str>, impl AsRef<[u8]>)]) -> Result<Write, StartError> {
        start(&self.gateway, status, headers, None)
    }

    /// Replaces a response whose head was not sent yet, and logs the error that is the reason: `start_response` with
    /// `exc_info`. An application can use it for an error page:
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, StartError, StartResponse};
    /// fn app(environ: Environ, start_response: StartResponse) -> Result<String, StartError> {
    ///     start_response("200 OK", &[("Content-Type", "text/plain")]);
    ///     match environ.form() {
    ///         Ok(form) => Ok(form.to_string()),
    ///         Err(error) => {
    ///             start_response.replace("400 Bad Request", &[("Content-Type", "text/plain")], &error)?;
    ///             Ok(format!("{error}\n"))
    ///         }
    ///     }
    /// }
    /// # wasmserve_guest::testing::call(app, Environ::for_test([]));
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the head has been sent, or if the status or a header field is invalid. The error is logged in any case.
    pub fn replace(
        &self,
        status: &str,
        headers: &[(impl AsRef<str>, impl AsRef<[u8]>)],
        exc_info: impl Display,
    ) -> Result<Write, StartError> {
        let exc_info = exc_info.to_string();
        start(&self.gateway, status, headers, Some(exc_info.as_bytes()))
    }
}

fn start(
    gateway: &Gateway,
    status: &str,
    headers: &[(impl AsRef<str>, impl AsRef<[u8]>)],
    exc_info: Option<&[u8]>,
) -> Result<Write, StartError> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    gateway.start_response(status, &headers, exc_info)?;
    Ok(Write::new(gateway.clone()))
}

impl Deref for StartResponse {
    type Target = Call;

    fn deref(&self) -> &Call {
        &*self.call
    }
}

/// Why a response could not be started.
///
/// ```
/// # use wasmserve_guest::{Environ, StartError, StartResponse, testing::call};
/// let app = |_: Environ, start_response: StartResponse| {
///     let refused = start_response.attempt("200 OK", &[("Connection", "close")]).err();
///     assert_eq!(refused, Some(StartError::HopByHop("Connection".to_owned())));
/// };
/// # call(app, Environ::for_test([]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// `start_response` was called before. Use [`replace`](StartResponse::replace) to change its response.
    AlreadyStarted,
    /// The head has been sent and cannot be replaced any more.
    HeadersSent,
    /// The status is not three digits from 200 to 999, a space and a reason phrase.
    BadStatus,
    /// A header field is invalid; the text says which one and why.
    BadHeader(String),
    /// A header field is hop-by-hop and therefore set by the host only; the text says which one.
    HopByHop(String),
}

impl Display for StartError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyStarted => f.write_str("start_response was called before"),
            Self::HeadersSent => f.write_str("the head of the response has already been sent"),
            Self::BadStatus => f.write_str("the status is not three digits from 200 to 999, a space and a reason"),
            Self::BadHeader(which) => write!(f, "bad header field: {which}"),
            Self::HopByHop(which) => write!(f, "hop-by-hop header field: {which}"),
        }
    }
}

impl Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environ, testing::call};

    #[test]
    fn s3_an_error_replaces_status_and_all_headers() {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[("X-First", "1")]);
            let bytes: [(&str, &[u8]); 1] = [("X-Second", b"\xe9")];
            let replaced = start_response.replace("503 Later", &bytes, "no backend");
            assert!(replaced.is_ok());
        };
        let answer = call(app, Environ::for_test([]));
        assert_eq!(answer.status, "503 Later");
        assert_eq!(answer.header("x-first"), None);
        assert_eq!(answer.header("x-second").unwrap().latin1(), "é");
        assert_eq!(answer.log, ["no backend"]);
    }

    #[test]
    fn s5_a_rejected_call_still_counts() {
        let app = |_: Environ, start_response: StartResponse| {
            let none: [(&str, &str); 0] = [];
            let mut attempts = ["100 Continue", "200 OK"].map(|status| start_response.attempt(status, &none).err());
            assert_eq!(attempts[0].take(), Some(StartError::BadStatus));
            assert_eq!(attempts[1].take(), Some(StartError::AlreadyStarted));
            start_response.replace("200 OK", &none, "again").map(|_| ())
        };
        assert_eq!(call(app, Environ::for_test([])).status, "200 OK");
    }

    #[test]
    fn s_heads_are_accepted_or_rejected_like_by_the_host() {
        const OK: &str = "";
        for (rule, status, headers, expected) in [
            ("S6", "200", &[][..], OK),
            ("S6", "599 ", &[], OK),
            ("S6", "099 Low", &[], "the status is not"),
            ("S6", "1000 High", &[], "the status is not"),
            ("S6", "200 O\nK", &[], "the status is not"),
            ("S8", "200 OK", &[("X", "\ta b\u{e9} ")], OK),
            ("S8", "200 OK", &[("X A", "1")], "bad header field"),
            ("S8", "200 OK", &[("X", "a\r\nb")], "bad header field"),
            ("S9", "200 OK", &[("keep-alive", "1")], "hop-by-hop"),
            ("S10", "200 OK", &[("Content-Length", " 3 ")], OK),
            ("S10", "200 OK", &[("Content-Length", "")], "bad header field"),
            ("S10", "200 OK", &[("Content-Length", "3, 3")], "bad header field"),
            ("S10", "200 OK", &[("Content-Length", "3"), ("content-length", "3")], "bad header field"),
            ("S11", "200 OK", &[("Set-Cookie", "a"), ("Set-Cookie", "b")], OK),
            ("S14", "200 OK", &[("Status", "404 Not Found")], OK),
        ] {
            let app = |_: Environ, start_response: StartResponse| start_response.attempt(status, headers).map(|_| ());
            let answer = call(app, Environ::for_test([]));
            match answer.fault {
                Some(fault) => assert!(expected != OK && fault.starts_with(expected), "{rule}: {status}: {fault}"),
                None => {
                    let given: Vec<_> = headers.iter().map(|(_, value)| value.trim().as_bytes()).collect();
                    let taken: Vec<_> = answer.headers.iter().map(|(_, value)| value.as_bytes()).collect();
                    assert_eq!((expected, taken), (OK, given), "{rule}: {status}");
                }
            }
        }
    }
}
