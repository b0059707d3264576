//! Errors that are sent to the client.

use std::{
    any::Any,
    borrow::Cow,
    error::Error,
    fmt::{self, Display, Formatter},
    io,
};

use crate::{FormError, IntoResponse, Response, Status};

/// An error that becomes a response: a status and a line of text for the client, like `abort(404)` in Flask.
///
/// In the short form and in [`Verbs`](crate::Verbs), `?` turns it into the response. All other errors are failures of
/// the handler: the error is logged, and the client gets a 500 without details.
///
/// ```
/// use wasmserve_guest::{Environ, Refusal, Result, testing::call};
///
/// fn app(environ: Environ) -> Result<String> {
///     let query = environ.query();
///     let name = query.get("name").ok_or(Refusal::new(400, "give your name: ?name=..."))?;
///     Ok(format!("Hello, {name}!\n"))
/// }
///
/// let answer = call(app, Environ::for_test([]));
/// assert_eq!(answer.status, "400 Bad Request");
/// assert_eq!(answer.body, b"give your name: ?name=...\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: Cow<'static, str>,
    text: Cow<'static, str>,
}

impl Refusal {
    /// Creates a refusal with a status and a text. A line feed is added to the text when it is sent.
    ///
    /// ```
    /// # use wasmserve_guest::Refusal;
    /// # use wasmserve_guest::{Environ, Result, testing::call};
    /// let app = |_: Environ| -> Result<()> { Err(Refusal::new(404, "no such user").into()) };
    /// assert_eq!(call(app, Environ::for_test([])).body, b"no such user\n");
    /// ```
    pub fn new(status: impl Status, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: status.line(), text: text.into() }
    }

    /// Returns the status line: `404 Not Found`.
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

/// The refusal in a `dyn Any` or a `dyn Error`.
macro_rules! refusal {
    ($error:ident) => {
        if let Some(refusal) = $error.downcast_ref::<Refusal>() {
            Some(refusal.clone())
        } else if let Some(error) = $error.downcast_ref::<FormError>() {
            error.refusal()
        } else if let Some(error) = $error.downcast_ref::<io::Error>() {
            error.get_ref().and_then(|error| error.downcast_ref::<FormError>()?.refusal())
        } else {
            $error.downcast_ref().and_then(from_json)
        }
    };
}

/// The response for an error, if the error is a refusal.
pub(crate) fn response<E: 'static>(error: &E) -> Option<Response> {
    let error: &dyn Any = error;
    let refusal = match error.downcast_ref::<crate::Error>() {
        Some(boxed) => refusal!(boxed),
        None => refusal!(error),
    };
    refusal?.into_response().ok()
}

#[cfg(feature = "json")]
fn from_json(error: &crate::JsonError) -> Option<Refusal> {
    error.refusal()
}

/// Without the feature `json` there are no such errors.
#[cfg(not(feature = "json"))]
fn from_json(error: &std::convert::Infallible) -> Option<Refusal> {
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
    fn a_refusal_is_a_response_and_not_a_fault() {
        let plain = |_: Environ| -> Result<&'static str, Refusal> { Err(refused()) };
        let boxed = |_: Environ| -> Result<&'static str> { Err(refused().into()) };
        for answer in [call(plain, Environ::for_test([])), call(boxed, Environ::for_test([]))] {
            assert_eq!((&*answer.status, &*answer.body), ("410 Long Gone", &b"look elsewhere\n"[..]));
            assert_eq!(answer.header("Content-Type").unwrap(), &"text/plain; charset=utf-8");
            assert_eq!((answer.fault, answer.log), (None, vec![]));
        }
    }

    #[test]
    fn a_verb_may_refuse_and_logs_it() {
        struct Test;

        impl Verbs for Test {
            fn do_get(&mut self, _environ: Environ) -> Result {
                Err(refused().into())
            }

            fn log_request(&self, environ: &Environ, status: &str) {
                environ.errors().log(status);
            }
        }

        let answer = call(Test, Environ::for_test([]));
        assert_eq!((&*answer.status, answer.log), ("410 Long Gone", vec!["410 Long Gone".to_owned()]));
    }

    #[test]
    fn other_errors_are_not_sent_to_the_client() {
        let failing = |_: Environ| -> Result<&'static str> { Err("secret".into()) };
        let answer = call(failing, Environ::for_test([]));
        assert_eq!((&*answer.status, answer.fault.as_deref()), ("500 Internal Server Error", Some("secret")));
        assert!(answer.body.is_empty());
    }
}
