//! A line for each exchange.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use crate::{
    Application, Environ, Error, Result, StartError, StartResponse, WriteError,
    gateway::{Below, Layer},
};

/// Middleware that writes a line into the log (`wsgi.errors`) when the application is done: the method, the path, the
/// status, and how many octets of a body there were.
///
/// ```
/// use wasmserve_guest::prelude::*;
///
/// handler!(log(app));
///
/// fn app(_environ: Environ) -> &'static str {
///     "Hello, World!\n"
/// }
///
/// # fn a_line_is_logged() {
/// let answer = testing::call(log(app), Environ::made([("PATH_INFO", "/a b")]));
/// assert_eq!(answer.log, [r#"GET "/a b": 200 OK, 14 octets"#]);
/// # }
/// # a_line_is_logged();
/// ```
///
/// It tells what the application did, where the host's access log tells what the client got: the octets are those that
/// the application gave, also in an answer to HEAD, and after a failure the reason is told in place of the host's 500. A
/// panic leaves no line, since nothing runs after it; the host tells of that.
pub fn log<A>(application: A) -> Log<A> {
    Log(application)
}

/// An application in a [`log`].
///
/// ```
/// # use wasmserve_guest::{Environ, Log, log, testing::call};
/// let logged: Log<_> = log(|_: Environ| (404, "no\n"));
/// assert_eq!(call(logged, Environ::made([])).log, ["GET \"/\": 404 Not Found, 3 octets"]);
/// ```
pub struct Log<A>(A);

/// A `Log` around one.
pub enum Logged {}

impl<A, M> Application<(Logged, M)> for Log<A>
where
    A: Application<M>,
{
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        let errors = environ.errors();
        // Escaped, so that nobody can ask for a path that looks like another line.
        let mount = environ.get("SCRIPT_NAME").unwrap_or_default();
        let asked = format!("{} \"{}{}\"", environ.method(), mount.escape_ascii(), environ.path().escape_ascii());
        let gateway = environ.gateway.clone();
        let tally = Rc::new(Tally { below: gateway.below(), status: RefCell::default(), octets: Cell::default() });
        let outcome = gateway.under(&tally, || self.0.run(environ, start_response));
        errors.log(format!("{asked}: {}", tally.told(outcome.as_ref().err())));
        outcome
    }
}

/// The layer of `log`.
struct Tally {
    below: Below,
    status: RefCell<Option<String>>,
    octets: Cell<usize>,
}

impl Tally {
    fn told(&self, error: Option<&Error>) -> String {
        let status = self.status.borrow();
        let octets = self.octets.get();
        // An error has as many lines as it likes, this has one.
        let error = error.map(|error| error.to_string().replace(['\r', '\n'], " "));
        match (status.as_deref(), error) {
            (Some(status), None) => format!("{status}, {octets} octets"),
            (Some(status), Some(error)) if octets > 0 => format!("{status}, {octets} octets, then failed: {error}"),
            (_, Some(error)) => format!("failed: {error}"),
            (None, None) => "no answer".to_owned(),
        }
    }
}

impl Layer for Tally {
    fn below(&self) -> &Below {
        &self.below
    }

    fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError> {
        let outcome = self.below.start_response(status, headers, exc_info);
        if outcome.is_ok() {
            *self.status.borrow_mut() = Some(status.to_owned());
        }
        outcome
    }

    fn write(&self, chunk: &[u8], last: bool) -> Result<(), WriteError> {
        let outcome = self.below.write(chunk, last);
        if outcome.is_ok() {
            self.octets.set(self.octets.get() + chunk.len());
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::call;

    fn line<M>(application: impl Application<M>) -> String {
        let environ =
            Environ::made([("REQUEST_METHOD", "POST"), ("SCRIPT_NAME", "/app"), ("PATH_INFO", "/a\n\"b\"\u{e9}")]);
        let mut answer = call(log(application), environ);
        assert_eq!(answer.log.len(), 1, "{answer:?}");
        answer.log.remove(0).strip_prefix(r#"POST "/app/a\n\"b\"\xc3\xa9": "#).unwrap().to_owned()
    }

    #[test]
    fn an_exchange_is_a_line() {
        assert_eq!(line(|_: Environ| "text"), "200 OK, 4 octets");
        assert_eq!(line(|_: Environ| (204, ())), "204 No Content, 0 octets");
        assert_eq!(line(|_: Environ| ["ab", "", "c"].into_iter()), "200 OK, 3 octets");
        let pushed = |_: Environ, start_response: StartResponse| -> Result<&'static str> {
            start_response("200 OK", &[])(b"pushed, ")?;
            Ok("returned")
        };
        assert_eq!(line(pushed), "200 OK, 16 octets");
    }

    #[test]
    fn a_failure_is_a_line_with_its_reason() {
        assert_eq!(line(|_: Environ| Err::<&str, _>("no\ndisk")), "failed: no disk");
        assert_eq!(line(|_: Environ, _: StartResponse| "late"), "failed: start_response was not called");
        assert_eq!(line(|_: Environ, _: StartResponse| Err::<(), _>("no disk")), "failed: no disk");
        let cut = |_: Environ| [Ok("half"), Err("no disk")].into_iter();
        assert_eq!(line(cut), "200 OK, 4 octets, then failed: no disk");
    }
}
