//! Errors that the client is told of.

use std::{
    any::Any,
    borrow::Cow,
    error::Error,
    fmt::{self, Display, Formatter},
};

use crate::{IntoResponse, Response, Status};

/// An error that is an answer: a status, and a line of text for the client. What `abort(404)` is in Flask.
///
/// In the short form and in [`Verbs`](crate::Verbs) `?` makes an answer of it. Every other error is the handler's fault:
/// it goes into the log, and the client gets a 500 that does not tell what it was.
///
/// ```
/// use wasmserve_guest::{Environ, Refusal, Result, testing::call};
///
/// fn app(environ: Environ) -> Result<String> {
///     let query = environ.query();
///     let name = query.get("name").ok_or(Refusal::new(400, "say who you are: ?name="))?;
///     Ok(format!("Hello, {name}!\n"))
/// }
///
/// let answer = call(app, Environ::made([]));
/// assert_eq!(answer.status, "400 Bad Request");
/// assert_eq!(answer.body, b"say who you are: ?name=\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: Cow<'static, str>,
    text: Cow<'static, str>,
}

impl Refusal {
    /// An answer with this status and this text, which ends in a line feed when it is sent.
    ///
    /// ```
    /// # use wasmserve_guest::Refusal;
    /// assert_eq!(Refusal::new(404, "no such user").to_string(), "no such user");
    /// ```
    pub fn new(status: impl Status, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: status.line(), text: text.into() }
    }

    /// The status line: `404 Not Found`.
    ///
    /// ```
    /// # use wasmserve_guest::Refusal;
    /// assert_eq!(Refusal::new(404, "no such user").status(), "404 Not Found");
    /// ```
    pub fn status(&self) -> &str {
        &self.status
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Refusal {}

impl IntoResponse for Refusal {
    fn into_response(self) -> crate::Result<Response> {
        (String::from(self.status), format!("{}\n", self.text)).into_response()
    }
}

/// What the client is told of an error, if that is one to tell.
pub(crate) fn response<E: 'static>(error: &E) -> Option<Response> {
    let error: &dyn Any = error;
    let refusal = match error.downcast_ref::<crate::Error>() {
        Some(boxed) => boxed.downcast_ref().cloned().or_else(|| of_json(boxed.downcast_ref()?)),
        None => error.downcast_ref().cloned().or_else(|| of_json(error.downcast_ref()?)),
    };
    refusal?.into_response().ok()
}

#[cfg(feature = "json")]
fn of_json(error: &crate::JsonError) -> Option<Refusal> {
    error.refusal()
}

/// Without JSON there are no errors of it.
#[cfg(not(feature = "json"))]
fn of_json(error: &std::convert::Infallible) -> Option<Refusal> {
    match *error {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environ, Result, Verbs, testing::call};

    fn refused() -> Refusal {
        Refusal::new("410 Long Gone", "look elsewhere")
    }

    #[test]
    fn a_refusal_is_an_answer_and_no_fault() {
        let plain = |_: Environ| -> Result<&'static str, Refusal> { Err(refused()) };
        let boxed = |_: Environ| -> Result<&'static str> { Err(refused().into()) };
        for answer in [call(plain, Environ::made([])), call(boxed, Environ::made([]))] {
            assert_eq!((&*answer.status, &*answer.body), ("410 Long Gone", &b"look elsewhere\n"[..]));
            assert_eq!(answer.header("Content-Type").unwrap(), &"text/plain; charset=utf-8");
            assert_eq!((answer.fault, answer.log), (None, vec![]));
        }
    }

    #[test]
    fn a_verb_may_refuse_and_tells_of_it() {
        struct Test;

        impl Verbs for Test {
            fn do_get(&mut self, _environ: Environ) -> Result {
                Err(refused().into())
            }

            fn log_request(&self, environ: &Environ, status: &str) {
                environ.errors().log(status);
            }
        }

        let answer = call(Test, Environ::made([]));
        assert_eq!((&*answer.status, answer.log), ("410 Long Gone", vec!["410 Long Gone".to_owned()]));
    }

    #[test]
    fn other_errors_stay_the_handlers_own() {
        let failing = |_: Environ| -> Result<&'static str> { Err("secret".into()) };
        let answer = call(failing, Environ::made([]));
        assert_eq!((&*answer.status, answer.fault.as_deref()), ("500 Internal Server Error", Some("secret")));
        assert!(answer.body.is_empty());
    }
}
