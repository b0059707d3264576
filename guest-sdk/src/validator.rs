//! Middleware that checks both sides of the contract at run time.

#[macro_use]
mod clause;
mod environ;
mod input;
mod response;

use std::{cell::RefCell, rc::Rc};

use self::{clause::Breach, input::Input, response::Response};
use crate::{
    Application, Environ, ReadError, Result, StartError, StartResponse, WriteError,
    gateway::{Below, Fields, Layer},
};

/// Middleware that checks that the host and an application obey the contract between them, and logs which clause was
/// violated, like `wsgiref.validate.validator` in Python. It wraps any [`Application`], and changes nothing as long as
/// both sides are correct.
///
/// ```
/// use wasmserve_guest::{Environ, StartResponse, handler, validator};
///
/// handler!(validator(app));
///
/// fn app(_environ: Environ, start_response: StartResponse) -> &'static str {
///     start_response("200 OK", &[("Content-Type", "text/plain"), ("Content-Length", "5")]);
///     "Hello, World!\n"
/// }
///
/// # use wasmserve_guest::testing::call;
/// # fn the_length_is_wrong() {
/// let answer = call(validator(app), Environ::for_test([]));
/// assert_eq!(answer.status, "500 Internal Server Error");
/// assert_eq!(
///     answer.log,
///     ["validator: PEP 3333, Handling the Content-Length Header: \
///       the body must be as long as its `Content-Length`: 14 bytes of 5"]
/// );
/// # }
/// # the_length_is_wrong();
/// ```
///
/// Each violation is one line in the log (`wsgi.errors`): the source of the clause, its text, and what violated it.
/// Then the application fails, as with Python's `AssertionError`. The validator does not pass the violation on, and
/// does not correct it: if the environ is wrong, the application does not run; if the response is wrong, the client
/// gets a 500, or a body that is visibly truncated.
///
///
/// | The host | |
/// |---|---|
#[doc = rows!(Host)]
///
/// | The application | |
/// |---|---|
#[doc = rows!(Application)]
///
/// The following clauses are advice: violations are logged, but the application does not fail. Python's validator fails
/// on a missing `Content-Type`, on one with 204 or 304, and on a field named `Status`, all of which HTTP allows. It
/// also warns about methods that it does not know.
///
/// | Advice | |
/// |---|---|
#[doc = rows!(Advice)]
///
/// The validator checks every call and copies the whole environ. A handler that does not use it does not contain its
/// code.
pub fn validator<A>(application: A) -> Validator<A> {
    Validator(application)
}

/// The result of [`validator`].
pub struct Validator<A>(A);

/// The kind of application that a `Validator` is.
pub enum Validated {}

impl<A, M> Application<(Validated, M)> for Validator<A>
where
    A: Application<M>,
{
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        let gateway = environ.gateway.clone();
        let below = gateway.below();
        if below.validates() {
            // A validator inside another one has nothing to add.
            return self.0.run(environ, start_response);
        }
        let validation = Rc::new(Validation::new(below));
        let outcome = match validation.report(environ::check(&gateway.copy_all(), |name| gateway.get(name))) {
            Some(_) => Ok(()),
            None => gateway.under(&validation, || self.0.run(environ, start_response)),
        };
        validation.end(outcome)
    }
}

/// The layer that `validator` adds.
struct Validation {
    below: Below,
    input: RefCell<Input>,
    response: RefCell<Response>,
    /// The first violation that is not advice.
    breach: RefCell<Option<Breach>>,
}

impl Validation {
    fn new(below: Below) -> Self {
        Self {
            input: RefCell::new(Input::new(|name| below.get(name))),
            response: RefCell::new(Response::new(below.get("REQUEST_METHOD"))),
            breach: RefCell::default(),
            below,
        }
    }

    /// Logs violations, and returns the first one that is not advice.
    fn report(&self, breaches: impl IntoIterator<Item = Breach>) -> Option<Breach> {
        let logged = breaches.into_iter().inspect(|breach| self.below.log(breach.to_string().as_bytes()));
        let violations: Vec<_> = logged.filter(|breach| !breach.is_advice()).collect();
        let first = violations.into_iter().next()?;
        self.breach.borrow_mut().get_or_insert_with(|| first.clone());
        Some(first)
    }

    fn is_broken(&self) -> bool {
        self.breach.borrow().is_some()
    }

    /// Checks the end of the response, and returns the outcome.
    fn end(&self, outcome: Result<()>) -> Result<()> {
        if outcome.is_ok() && !self.is_broken() {
            self.report(self.response.borrow().end());
        }
        match self.breach.take() {
            Some(breach) => Err(breach.to_string().into()),
            None => outcome,
        }
    }
}

impl Layer for Validation {
    fn below(&self) -> &Below {
        &self.below
    }

    fn validates(&self) -> bool {
        true
    }

    fn read(&self, max: u32) -> Result<Vec<u8>, ReadError> {
        let given = self.below.read(max);
        self.report(self.input.borrow_mut().read(max, &given));
        given
    }

    fn trailers(&self) -> Fields {
        let given = self.below.trailers();
        self.report(self.input.borrow().trailers(&given));
        given
    }

    fn start_response(
        &self,
        status: &str,
        headers: &[(&str, &[u8])],
        exc_info: Option<&[u8]>,
    ) -> Result<(), StartError> {
        if self.is_broken() {
            return Err(StartError::HeadersSent);
        }
        let (head, breaches) = self.response.borrow_mut().start(status, headers, exc_info.is_some());
        if let Some(breach) = self.report(breaches) {
            return Err(breach.start_error());
        }
        let outcome = self.below.start_response(status, headers, exc_info);
        self.report(self.response.borrow_mut().started(head, &outcome));
        outcome
    }

    fn write(&self, chunk: &[u8], last: bool) -> Result<(), WriteError> {
        if self.is_broken() {
            return Err(WriteError::Disconnected);
        }
        let breaches = self.response.borrow_mut().write(chunk, last);
        if let Some(breach) = self.report(breaches) {
            return Err(breach.write_error());
        }
        let outcome = self.below.write(chunk, last);
        self.report(self.response.borrow_mut().wrote(chunk, last, outcome));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::{clause::Clause, *};
    use crate::{
        Body, BodyWriter, IntoResponse, Verbs, Write,
        testing::{Answer, call},
    };

    const TEXT: (&str, &str) = ("Content-Type", "text/plain");
    const LENGTH: (&str, &str) = ("Content-Length", "3");

    type Row = (
        &'static str,
        Clause,
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [&'static str],
    );

    /// The rule, the clause that is violated, the method of the request, and the status, fields and chunks of the
    /// response.
    const ANSWERS: [Row; 31] = [
        ("S6", Clause::Status, "GET", "", &[TEXT], &["x"]),
        ("S6", Clause::Status, "GET", "OK", &[TEXT], &["x"]),
        ("S6", Clause::Status, "GET", "100 Continue", &[TEXT], &["x"]),
        ("S6", Clause::Status, "GET", "099 Low", &[TEXT], &["x"]),
        ("S6", Clause::Status, "GET", "1000 High", &[TEXT], &["x"]),
        ("S6", Clause::Status, "GET", "200 O\rK", &[TEXT], &["x"]),
        ("S6", Clause::Reason, "GET", "200", &[TEXT], &["x"]),
        ("S8", Clause::FieldName, "GET", "200 OK", &[TEXT, ("", "1")], &["x"]),
        ("S8", Clause::FieldName, "GET", "200 OK", &[TEXT, ("X A", "1")], &["x"]),
        ("S8", Clause::FieldName, "GET", "200 OK", &[TEXT, ("X:", "1")], &["x"]),
        ("S8", Clause::FieldValue, "GET", "200 OK", &[TEXT, ("X", "a\r\nb")], &["x"]),
        ("S8", Clause::FieldValue, "GET", "200 OK", &[TEXT, ("X", "a\x7f")], &["x"]),
        ("S9", Clause::HopByHop, "GET", "200 OK", &[TEXT, ("Te", "trailers")], &["x"]),
        ("S9", Clause::HopByHop, "GET", "200 OK", &[TEXT, ("transfer-encoding", "chunked")], &["x"]),
        ("S10", Clause::Length, "GET", "200 OK", &[TEXT, ("Content-Length", "+1")], &["x"]),
        ("S10", Clause::Length, "GET", "200 OK", &[TEXT, ("Content-Length", "18446744073709551616")], &["x"]),
        ("S10", Clause::Length, "GET", "200 OK", &[TEXT, LENGTH, ("content-length", "3")], &["abc"]),
        ("S13", Clause::Type, "GET", "200 OK", &[], &["a", "", "b"]),
        ("S14", Clause::CgiStatus, "GET", "200 OK", &[TEXT, ("Status", "404")], &["x"]),
        ("B1", Clause::BodyLength, "GET", "200 OK", &[TEXT, LENGTH], &["abcd"]),
        ("B1", Clause::BodyLength, "GET", "200 OK", &[TEXT, LENGTH], &["ab", "cd", "ef"]),
        ("B2", Clause::BodyLength, "GET", "200 OK", &[TEXT, LENGTH], &["ab"]),
        ("B2", Clause::BodyLength, "GET", "200 OK", &[TEXT, LENGTH], &["a", "b"]),
        ("B2", Clause::BodyLength, "GET", "200 OK", &[LENGTH], &[]),
        ("B9", Clause::NoBody, "HEAD", "200 OK", &[TEXT, LENGTH], &["ab", "c"]),
        ("B10", Clause::NoBody, "GET", "204 No Content", &[], &["a", "b"]),
        ("B10", Clause::NoBody, "GET", "205 Reset Content", &[TEXT], &["a"]),
        ("B10", Clause::NoBody, "GET", "304 Not Modified", &[LENGTH], &["abc"]),
        ("B10", Clause::NoLength, "GET", "204 No Content", &[("Content-Length", "0")], &[]),
        ("B10", Clause::NoType, "GET", "204 No Content", &[TEXT], &[]),
        ("B10", Clause::NoType, "GET", "304 Not Modified", &[TEXT], &[]),
    ];

    type App = fn(Environ, StartResponse) -> Result<&'static str>;

    /// Calls in the wrong order.
    const CALLS: [(&str, Clause, App); 5] = [
        ("S1", Clause::NotStarted, |_, _| Ok("x")),
        ("S1", Clause::NotStarted, |_, _| Ok("")),
        ("S2", Clause::StartedTwice, |_, start_response| {
            start_response("200 OK", &[TEXT]);
            start_response.attempt("404 Not Found", &[TEXT])?;
            Ok("x")
        }),
        ("S2", Clause::StartedTwice, |_, start_response| {
            start_response("200 OK", &[TEXT])(b"x")?;
            start_response.attempt("404 Not Found", &[TEXT])?;
            Ok("x")
        }),
        ("S5", Clause::Status, |_, start_response| {
            let refused = start_response.attempt("100 Continue", &[TEXT]);
            start_response.replace("200 OK", &[TEXT], refused.err().unwrap())?;
            Ok("x")
        }),
    ];

    /// Writes after the end of the response.
    struct Late(Write);

    impl Body<Late> for Late {
        fn send(self, writer: BodyWriter) -> Result<()> {
            writer.finish(b"all")?;
            Ok((self.0)(b"more")?)
        }
    }

    fn check(rule: &str, clause: Clause, answer: &Answer) {
        let breach = clause.broken_by("");
        let line = breach.to_string();
        assert_eq!(answer.log.len(), 1, "{rule}: {answer:?}");
        assert!(answer.log[0].starts_with(&line), "{rule}: {answer:?}");
        let fault = (!breach.is_advice()).then_some(&answer.log[0]);
        assert_eq!(answer.fault.as_ref(), fault, "{rule}: {answer:?}");
    }

    #[test]
    fn s_b_a_wrong_response_violates_its_clause() {
        for (rule, clause, method, status, headers, chunks) in ANSWERS {
            let environ = || Environ::for_test([("REQUEST_METHOD", method)]);
            let app = |_: Environ, start_response: StartResponse| {
                start_response.attempt(status, headers)?;
                Ok::<_, StartError>(chunks.iter())
            };
            check(rule, clause, &call(validator(app), environ()));
            let short = |_: Environ| (status, headers.to_vec(), chunks.iter());
            check(rule, clause, &call(validator(short), environ()));
        }
    }

    #[test]
    fn s_calls_in_the_wrong_order_violate_a_clause() {
        for (rule, clause, app) in CALLS {
            check(rule, clause, &call(validator(app), Environ::for_test([])));
        }
        let late = |_: Environ, start_response: StartResponse| Late(start_response("200 OK", &[TEXT]));
        check("S1", Clause::Ended, &call(validator(late), Environ::for_test([])));
    }

    #[test]
    fn a_violation_never_looks_like_a_complete_response() {
        let app = |_: Environ, start_response: StartResponse| {
            start_response("200 OK", &[TEXT, LENGTH]);
            ["ab", "cd"].into_iter()
        };
        let answer = call(validator(app), Environ::for_test([]));
        assert_eq!((&*answer.status, &*answer.body), ("200 OK", &b"ab"[..]));
        let whole = |_: Environ| (200, [TEXT, LENGTH], "abcd");
        assert_eq!(call(validator(whole), Environ::for_test([])).status, "500 Internal Server Error");
    }

    #[test]
    fn e1_an_application_does_not_run_with_a_wrong_environ() {
        let environ = Environ::for_test([("SERVER_NAME", ""), ("SERVER_PORT", "http")]);
        let answer = call(validator(|_: Environ| unreachable!() as &str), environ);
        assert_eq!(answer.status, "500 Internal Server Error");
        assert_eq!(answer.log.len(), 2);
    }

    #[test]
    fn i5_a_body_that_only_looks_complete_is_reported() {
        let app = |environ: Environ| environ.form().map(|form| form.to_string());
        let environ = Environ::for_test([]).with_input("abc=d").with("CONTENT_LENGTH", "7");
        check("I5", Clause::ReadLength, &call(validator(app), environ));
        let environ = Environ::for_test([]).with_input("abc=d").with_read_error(ReadError::Disconnected);
        assert!(call(validator(app), environ).log.is_empty());
    }

    #[test]
    fn a_correct_response_passes_unchanged() {
        struct Test;

        impl Verbs for Test {
            fn do_get(&mut self, _environ: Environ) -> Result {
                "got".into_response()
            }
        }

        fn writes(_environ: Environ, start_response: StartResponse) -> Result<vec::IntoIter<&'static str>> {
            let write = start_response("200 OK", &[TEXT, ("Content-Length", "10")]);
            write(b"written ")?;
            Ok(vec!["", "i", "", "t"].into_iter())
        }

        fn replaced(_environ: Environ, start_response: StartResponse) -> Result<&'static str> {
            start_response("200 OK", &[LENGTH]);
            start_response.replace("503 Later", &[TEXT, ("X-Latin-1", "\u{e9}\t")], "no backend")?;
            Ok("later")
        }

        macro_rules! same {
            ($($application:expr, $method:literal;)*) => {
                $(
                    let environ = || Environ::for_test([("REQUEST_METHOD", $method)]);
                    let plain = call($application, environ());
                    let checked = call(validator($application), environ());
                    assert_eq!(format!("{checked:?}"), format!("{plain:?}"));
                )*
            };
        }

        same! {
            Test, "GET";
            Test, "BREW";
            writes, "GET";
            replaced, "GET";
            validator(writes), "GET";
            |_: Environ| "text", "GET";
            |_: Environ| (), "GET";
            |_: Environ| (204, ()), "GET";
            |_: Environ| (304, [LENGTH], ()), "GET";
            |_: Environ| (200, [TEXT, LENGTH], ()), "HEAD";
            |_: Environ| "text", "HEAD";
            Test, "HEAD";
            |_: Environ| Err::<&str, _>("no disk"), "GET";
        }
    }

    #[test]
    fn every_clause_has_a_row() {
        let of_response = ANSWERS.map(|row| row.1).into_iter().chain(CALLS.map(|row| row.1));
        let of_request = environ::tests::BROKEN
            .map(|row| row.3)
            .into_iter()
            .chain(input::tests::ROWS.iter().filter_map(|row| row.3));
        let single = [Clause::Dictionary, Clause::Ended, Clause::Refusal, Clause::Trailers];
        let covered: Vec<_> = of_response.chain(of_request).chain(single).collect();
        for clause in Clause::ALL {
            assert!(covered.contains(clause), "{clause:?}");
        }
    }
}
