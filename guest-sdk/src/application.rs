//! The trait that every kind of handler implements.

use crate::{
    Environ, Error, IntoResponse, Response, Result, StartResponse, Verbs, WriteError,
    body::{Body, BodyWriter},
    verbs,
};

/// Something that answers a request. The argument of [`handler!`](crate::handler) is one of these:
///
/// - a function that returns the whole response (the short form), see [`IntoResponse`]:
///
///   ```
///   # use wasmserve_guest::Environ;
///   fn app(environ: Environ) -> String {
///       format!("You asked for {}\n", environ.path())
///   }
///   # wasmserve_guest::testing::call(app, Environ::for_test([]));
///   ```
///
/// - a WSGI application, `fn(Environ, StartResponse) -> impl Body`:
///
///   ```
///   # use wasmserve_guest::{Environ, StartResponse};
///   fn app(environ: Environ, start_response: StartResponse) -> String {
///       start_response("200 OK", &[("Content-Type", "text/plain")]);
///       format!("You asked for {}\n", environ.path())
///   }
///   # wasmserve_guest::testing::call(app, Environ::for_test([]));
///   ```
///
/// - a [`Router`](crate::Router), which selects an application by path and method;
/// - a value of a type that implements [`Verbs`], with one method for each HTTP method;
/// - a [`Response`], which is the answer to every request;
/// - any of these inside middleware, such as [`wrap`](crate::wrap).
///
/// The parameter `M` distinguishes these implementations. It is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer requests",
    label = "not a handler",
    note = "a handler is `fn(Environ) -> impl IntoResponse`, `fn(Environ, StartResponse) -> impl Body`, or a type that implements `Verbs`",
    note = "it takes the `Environ` itself, not a reference, and it is not `async`: waiting holds up no other request",
    note = "it returns text, bytes, `Json(value)`, an iterator over chunks, `(status, body)` or `(status, headers, body)` with a `u16` as status, a `Response`, or an `Option` or a `Result` with any of these"
)]
pub trait Application<M> {
    /// Answers one request. You call this only in middleware, see [`wrap`](crate::wrap).
    ///
    /// ```
    /// # use wasmserve_guest::{Application, Environ, StartResponse, testing::call, wrap};
    /// fn app(environ: Environ) -> String {
    ///     format!("You asked for {}\n", environ.path())
    /// }
    ///
    /// let without_prefix = wrap(|mut environ: Environ, start_response: StartResponse| {
    ///     let path = environ.path().to_owned();
    ///     environ.set("PATH_INFO", path.strip_prefix("/v1").unwrap_or(&path));
    ///     app.run(environ, start_response)
    /// });
    /// let response = call(without_prefix, Environ::for_test([("PATH_INFO", "/v1/users")]));
    /// assert_eq!(response.body, b"You asked for /users\n");
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of the application, or of sending its body. From the outermost application the error becomes
    /// the `err` of the component's `handle`: the host logs it, and the client gets a 500 if the head has not been sent
    /// yet.
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()>;
}

/// `fn(Environ, StartResponse) -> impl Body`.
pub enum Wsgi {}

/// `fn(Environ) -> impl IntoResponse`.
pub enum Short {}

/// A type that implements `Verbs`.
pub enum ByVerb {}

/// A [`Response`].
pub enum Whole {}

impl<F, B, M> Application<(Wsgi, M)> for F
where
    F: FnOnce(Environ, StartResponse) -> B,
    B: Body<M>,
{
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        let writer = BodyWriter::started(environ.gateway.clone());
        self(environ, start_response).send(writer)
    }
}

impl<F, R, M> Application<(Short, M)> for F
where
    F: FnOnce(Environ) -> R,
    R: IntoResponse<M>,
{
    fn run(self, environ: Environ, _start_response: StartResponse) -> Result<()> {
        let gateway = environ.gateway.clone();
        self(environ).into_response()?.send(gateway)
    }
}

impl<V: Verbs> Application<ByVerb> for V {
    fn run(mut self, environ: Environ, _start_response: StartResponse) -> Result<()> {
        let asked = environ.copy();
        let response = verbs::dispatch(&mut self, environ).into_response()?;
        self.log_request(&asked, response.status());
        response.send(asked.gateway)
    }
}

impl Application<Whole> for Response {
    fn run(self, environ: Environ, _start_response: StartResponse) -> Result<()> {
        self.send(environ.gateway)
    }
}

/// Runs an application, and returns the error that the host has to report, if any.
pub(crate) fn handle<M>(application: impl Application<M>, environ: Environ) -> std::result::Result<(), String> {
    let start_response = StartResponse::new(environ.gateway.clone());
    match application.run(environ, start_response) {
        Err(error) if !host_knows(&error) => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Whether the error came from the host in the first place. As in wsgiref, a client that disconnects early is not an
/// error of the application, which just stops.
pub(crate) fn host_knows(error: &Error) -> bool {
    match error.downcast_ref() {
        Some(WriteError::Disconnected | WriteError::TimedOut | WriteError::PastContentLength) => true,
        Some(WriteError::NotStarted) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use crate::{Environ, StartResponse, testing::call};

    #[test]
    fn a_body_without_start_response_is_a_fault() {
        let answer = call(|_: Environ, _: StartResponse| "late", Environ::for_test([]));
        assert_eq!(answer.status, "500 Internal Server Error");
        assert_eq!(answer.fault.as_deref(), Some("start_response was not called"));
    }

    #[test]
    fn an_error_becomes_the_error_of_handle() {
        let failing = |_: Environ| -> io::Result<&'static str> { Err(io::Error::other("no disk")) };
        let answer = call(failing, Environ::for_test([]));
        assert_eq!(answer.status, "500 Internal Server Error");
        assert_eq!(answer.fault.as_deref(), Some("no disk"));
    }

    #[test]
    fn an_error_in_an_iterator_truncates_the_body() {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[]);
            [Ok("first"), Err("second failed"), Ok("third")].into_iter()
        };
        let answer = call(app, Environ::for_test([]));
        assert_eq!(answer.status, "200 OK");
        assert_eq!(answer.body, b"first");
        assert_eq!(answer.fault.as_deref(), Some("second failed"));
    }

    #[test]
    fn a_body_past_its_content_length_is_truncated_without_a_fault() {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[("Content-Length", "3")]);
            ["ab", "cd", "ef"].into_iter()
        };
        let answer = call(app, Environ::for_test([]));
        assert_eq!(answer.body, b"abc");
        assert_eq!(answer.fault, None);
    }

    #[test]
    fn written_chunks_come_before_the_returned_body() {
        let app = |_: Environ, start_response: StartResponse| -> crate::Result<&'static str> {
            let write = start_response("200 OK", &[]);
            write(b"written, ")?;
            Ok("returned")
        };
        assert_eq!(call(app, Environ::for_test([])).body, b"written, returned");
    }

    #[test]
    #[should_panic = "start_response was called before"]
    fn a_rejected_start_response_panics() {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[]);
            start_response("404 Not Found", &[]);
        };
        call(app, Environ::for_test([]));
    }
}
