//! What `handler!` takes: one trait, so that every kind of handler is spelt in the same way.

use crate::{
    Environ, Error, IntoResponse, Response, Result, StartResponse, Verbs, WriteError,
    body::{Body, Outlet},
    verbs,
};

/// What answers a request. [`handler!`](crate::handler) takes:
///
/// - a WSGI application, `fn(Environ, StartResponse) -> impl Body`:
///
///   ```
///   # use wasmserve_guest::{Environ, StartResponse};
///   fn app(_environ: Environ, start_response: StartResponse) -> &'static str {
///       start_response("200 OK", &[("Content-Type", "text/plain")]);
///       "Hello, World!\n"
///   }
///   # wasmserve_guest::testing::call(app, Environ::made([]));
///   ```
///
/// - its short form, a function whose result is the whole answer, see [`IntoResponse`]:
///
///   ```
///   # use wasmserve_guest::Environ;
///   fn app(_environ: Environ) -> &'static str {
///       "Hello, World!\n"
///   }
///   # wasmserve_guest::testing::call(app, Environ::made([]));
///   ```
///
/// - a value with one method for each HTTP method, see [`Verbs`];
/// - a [`Response`], which answers everything in the same way;
/// - a [`Router`](crate::Router), which has an application for each path;
/// - what [`wrap`](crate::wrap) and other middleware put around any of these.
///
/// `M` tells these apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot answer requests",
    label = "not a handler",
    note = "a handler is `fn(Environ) -> impl IntoResponse`, `fn(Environ, StartResponse) -> impl Body`, or a type that implements `Verbs`"
)]
pub trait Application<M> {
    /// Answers the one request that `environ` and `start_response` belong to. An error becomes `err` of the component's
    /// `handle`: it is logged, and the client gets a 500 if the head has not left yet.
    ///
    /// Middleware calls it, see [`wrap`](crate::wrap).
    ///
    /// ```
    /// # use wasmserve_guest::{Application, Environ, StartResponse, testing::call, wrap};
    /// fn app(_environ: Environ) -> &'static str {
    ///     "Hello, World!\n"
    /// }
    ///
    /// let around = wrap(|environ: Environ, start_response: StartResponse| app.run(environ, start_response));
    /// assert_eq!(call(around, Environ::made([])).body, b"Hello, World!\n");
    /// ```
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
        let outlet = Outlet::started(environ.gateway.clone());
        self(environ, start_response).send(outlet)
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

/// Runs an application to its end, and tells what the host is to know of it.
pub(crate) fn handle<M>(application: impl Application<M>, environ: Environ) -> std::result::Result<(), String> {
    let start_response = StartResponse::new(environ.gateway.clone());
    match application.run(environ, start_response) {
        Err(error) if !told(&error) => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Whether the host was the one who told of this error. As in wsgiref, a client that leaves early is no fault of the
/// application, which only stops.
pub(crate) fn told(error: &Error) -> bool {
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
        let answer = call(|_: Environ, _: StartResponse| "late", Environ::made([]));
        assert_eq!(answer.status, "500 Internal Server Error");
        assert_eq!(answer.fault.as_deref(), Some("start_response was not called"));
    }

    #[test]
    fn an_error_is_the_answer_of_handle() {
        let failing = |_: Environ| -> io::Result<&'static str> { Err(io::Error::other("no disk")) };
        let answer = call(failing, Environ::made([]));
        assert_eq!(answer.status, "500 Internal Server Error");
        assert_eq!(answer.fault.as_deref(), Some("no disk"));
    }

    #[test]
    fn an_error_in_an_iterator_cuts_the_body_short() {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[]);
            [Ok("first"), Err("second failed"), Ok("third")].into_iter()
        };
        let answer = call(app, Environ::made([]));
        assert_eq!(answer.status, "200 OK");
        assert_eq!(answer.body, b"first");
        assert_eq!(answer.fault.as_deref(), Some("second failed"));
    }

    #[test]
    fn a_body_past_its_content_length_is_cut_and_no_fault() {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[("Content-Length", "3")]);
            ["ab", "cd", "ef"].into_iter()
        };
        let answer = call(app, Environ::made([]));
        assert_eq!(answer.body, b"abc");
        assert_eq!(answer.fault, None);
    }

    #[test]
    fn write_pushes_before_the_returned_body() {
        let app = |_: Environ, start_response: StartResponse| -> crate::Result<&'static str> {
            let write = start_response("200 OK", &[]);
            write(b"pushed, ")?;
            Ok("returned")
        };
        assert_eq!(call(app, Environ::made([])).body, b"pushed, returned");
    }

    #[test]
    #[should_panic = "start_response was called before"]
    fn a_refused_start_response_raises() {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[]);
            start_response("404 Not Found", &[]);
        };
        call(app, Environ::made([]));
    }
}
