//! WSGI middleware.

use std::{cell::RefCell, rc::Rc};

use crate::{
    Application, Environ, Result, StartError, StartResponse, Value,
    gateway::{Below, Layer},
};

/// Middleware from a function. The function is called instead of the application; it either calls the application with
/// [`Application::run`], or answers the request itself. This is the `def wrap(app)` of Python:
///
/// ```
/// use wasmserve_guest::prelude::*;
///
/// handler!(local_only(app));
///
/// fn app(_environ: Environ) -> &'static str {
///     "Hello, neighbour!\n"
/// }
///
/// /// Restricts the application to clients on this machine.
/// fn local_only<M>(app: impl Application<M>) -> impl Application<Wrapped> {
///     wrap(|environ, start_response| {
///         let peer = environ.get("REMOTE_ADDR").unwrap_or_default();
///         if peer == "127.0.0.1" || peer == "::1" {
///             return app.run(environ, start_response);
///         }
///         Refusal::new(403, "local clients only").into_response()?.run(environ, start_response)
///     })
/// }
///
/// # fn only_local_clients_are_answered() {
/// let answer = testing::call(local_only(app), Environ::for_test([("REMOTE_ADDR", "192.0.2.1")]));
/// assert_eq!(answer.status, "403 Forbidden");
/// # assert_eq!(testing::call(local_only(app), Environ::for_test([])).status, "200 OK");
/// # }
/// # only_local_clients_are_answered();
/// ```
///
/// The application sees the variables that the function [sets](Environ::set). Use [`on_head`] to see or change the
/// response of the application.
pub fn wrap<F>(around: F) -> Wrap<F>
where
    F: FnOnce(Environ, StartResponse) -> Result<()>,
{
    Wrap(around)
}

/// The result of [`wrap`].
pub struct Wrap<F>(F);

/// The kind of application that [`wrap`] returns. Use it in the signature of your own middleware.
///
/// ```
/// # use wasmserve_guest::{Application, Environ, Wrapped, testing::call, wrap};
/// /// Logs requests that the application fails to answer.
/// fn log_failures<M>(app: impl Application<M>) -> impl Application<Wrapped> {
///     wrap(|environ, start_response| {
///         let (errors, path) = (environ.errors(), environ.path().to_owned());
///         app.run(environ, start_response).inspect_err(|error| errors.log(format!("{path:?} failed: {error}")))
///     })
/// }
///
/// let response = call(log_failures(|_: Environ| Err::<(), _>("no disk")), Environ::for_test([]));
/// assert_eq!(response.log, [r#""/" failed: no disk"#]);
/// ```
pub enum Wrapped {}

impl<F> Application<Wrapped> for Wrap<F>
where
    F: FnOnce(Environ, StartResponse) -> Result<()>,
{
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        (self.0)(environ, start_response)
    }
}

/// Middleware that can change the head of every response before it is passed to the host. In Python you would wrap
/// `start_response`; this also works for applications that do not take one.
///
/// ```
/// use wasmserve_guest::prelude::*;
///
/// handler!(on_head(|head| head.set("X-Content-Type-Options", "nosniff"), app));
///
/// fn app(_environ: Environ) -> &'static str {
///     "Hello, World!\n"
/// }
///
/// # fn the_field_is_added() {
/// let answer = testing::call(on_head(|head| head.set("X-Frame-Options", "DENY"), app), Environ::for_test([]));
/// assert_eq!(answer.header("X-Frame-Options").unwrap(), &"DENY");
/// # }
/// # the_field_is_added();
/// ```
///
/// The function is called each time the application starts a response: once, unless the application
/// [replaces](StartResponse::replace) its response. It is not called for the response that the host sends after a
/// failure.
pub fn on_head<F, A>(change: F, application: A) -> OnHead<F, A>
where
    F: FnMut(&mut Head) + 'static,
{
    OnHead { change, application }
}

/// The head of a response before it is passed to the host; see [`on_head`].
///
/// ```
/// # use wasmserve_guest::{Environ, Head, on_head, testing::call};
/// let hide = |head: &mut Head| {
///     if head.status.starts_with("403 ") {
///         head.status = "404 Not Found".to_owned();
///     }
/// };
/// let app = |_: Environ| (403, "nothing here\n");
/// assert_eq!(call(on_head(hide, app), Environ::for_test([])).status, "404 Not Found");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status line: `200 OK`.
    pub status: String,
    /// The header fields, in order.
    pub headers: Vec<(String, Value)>,
}

impl Head {
    /// Sets a header field to one value, and removes all other values of the field.
    ///
    /// ```
    /// # use wasmserve_guest::Head;
    /// let mut head = Head { status: "200 OK".to_owned(), headers: vec![("x-a".to_owned(), "1".into())] };
    /// head.set("X-A", "2");
    /// assert_eq!(head.headers, [("X-A".to_owned(), "2".into())]);
    /// ```
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let name = name.into();
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        self.headers.push((name, value.into()));
    }
}

/// The result of [`on_head`].
pub struct OnHead<F, A> {
    change: F,
    application: A,
}

/// The kind of application that an `OnHead` is.
pub enum Headed {}

impl<F, A, M> Application<(Headed, M)> for OnHead<F, A>
where
    F: FnMut(&mut Head) + 'static,
    A: Application<M>,
{
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        let gateway = environ.gateway.clone();
        let change = Rc::new(Change { below: gateway.below(), change: RefCell::new(self.change) });
        gateway.under(&change, || self.application.run(environ, start_response))
    }
}

/// The layer that `on_head` adds.
struct Change<F> {
    below: Below,
    change: RefCell<F>,
}

impl<F: FnMut(&mut Head)> Layer for Change<F> {
    fn below(&self) -> &Below {
        &self.below
    }

    fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError> {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_vec().into()));
        let mut head = Head { status: status.to_owned(), headers: headers.collect() };
        (self.change.borrow_mut())(&mut head);
        let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        self.below.start_response(&head.status, &headers, exc_info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IntoResponse, Refusal, Response, Router, Verbs, log, testing::call, validator};

    fn text(_environ: Environ) -> &'static str {
        "text"
    }

    fn wsgi(_environ: Environ, start_response: StartResponse) -> Result<&'static str> {
        start_response("200 OK", &[("X-A", "1"), ("x-a", "2")]);
        start_response.replace("202 Accepted", &[("Content-Type", "text/x"), ("x-a", "3")], "again")?;
        Ok("wsgi")
    }

    struct Test;

    impl Verbs for Test {
        fn do_get(&mut self, _environ: Environ) -> Result {
            "verb".into_response()
        }
    }

    #[test]
    fn heads_of_every_kind_of_application_are_changed() {
        fn changed<M>(application: impl Application<M>) -> (String, String) {
            let application = on_head(|head: &mut Head| head.set("X-A", head.status.clone()), application);
            let answer = call(validator(application), Environ::for_test([]));
            assert_eq!(answer.fault, None);
            let fields = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-a"));
            assert_eq!(fields.count(), 1, "{answer:?}");
            (answer.header("X-A").unwrap().to_string(), String::from_utf8(answer.body).unwrap())
        }

        let expected = |status: &str, body: &str| (status.to_owned(), body.to_owned());
        assert_eq!(changed(text), expected("200 OK", "text"));
        assert_eq!(changed(wsgi), expected("202 Accepted", "wsgi"));
        assert_eq!(changed(Test), expected("200 OK", "verb"));
        assert_eq!(changed(Router::new().get("/", text)), expected("200 OK", "text"));
        assert_eq!(changed(Response::new(200, [("X-B", "")], "whole")), expected("200 OK", "whole"));
        assert_eq!(changed(wrap(|environ, start| text.run(environ, start))), expected("200 OK", "text"));
    }

    #[test]
    fn the_inner_middleware_changes_the_head_first() {
        let append = |text: &'static str| move |head: &mut Head| head.status.push_str(text);
        let application = on_head(append(" outer"), on_head(append(" inner"), text));
        assert_eq!(call(application, Environ::for_test([])).status, "200 OK inner outer");
    }

    #[test]
    fn outer_middleware_answers_without_the_layers_inside() {
        fn or_sorry<M>(app: impl Application<M>) -> impl Application<Wrapped> {
            wrap(move |environ, start_response| {
                let request = environ.copy();
                match app.run(environ, start_response) {
                    Ok(()) => Ok(()),
                    Err(error) => {
                        let start_response = StartResponse::new(request.gateway.clone());
                        Refusal::new(503, error.to_string()).into_response()?.run(request, start_response)
                    }
                }
            })
        }

        let failing = |_: Environ| Err::<&str, _>("no disk");
        let application = or_sorry(validator(on_head(|head| head.set("X-Inside", "1"), failing)));
        let answer = call(application, Environ::for_test([]));
        assert_eq!((&*answer.status, &*answer.body), ("503 Service Unavailable", &b"no disk\n"[..]));
        assert_eq!(answer.header("X-Inside"), None);
    }

    #[test]
    fn a_validator_works_on_both_sides_and_reports_once() {
        let wrong = |_: Environ| (200, [("X A", "1")], "x");
        for answer in [
            call(validator(log(wrong)), Environ::for_test([])),
            call(log(validator(wrong)), Environ::for_test([])),
            call(validator(log(validator(wrong))), Environ::for_test([])),
        ] {
            let breaches = answer.log.iter().filter(|line| line.starts_with("validator: "));
            assert_eq!(breaches.count(), 1, "{answer:?}");
            assert!(answer.log.iter().any(|line| line.starts_with("GET \"/\": failed: ")), "{answer:?}");
        }
    }
}
