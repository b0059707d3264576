//! Middleware that logs one line per request.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use crate::{
    Application, Environ, Error, Result, StartError, StartResponse, WriteError,
    gateway::{Below, Layer},
};

/// Middleware that logs one line (to `wsgi.errors`) when the application has finished: the method, the path, the status
/// and the length of the body.
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
/// let answer = testing::call(log(app), Environ::for_test([("PATH_INFO", "/a b")]));
/// assert_eq!(answer.log, [r#"GET "/a b": 200 OK, 14 bytes"#]);
/// # }
/// # a_line_is_logged();
/// ```
///
/// The line shows what the application did. The access log of the host shows what the client received. So the length is
/// that of the body that the application sent, even in response to HEAD, and after a failure the line contains the
/// reason instead of the host's 500. A panic does not produce a line, because nothing runs after it; the host logs it.
pub fn log<A>(application: A) -> Log<A> {
    Log(application)
}

/// The result of [`log`].
pub struct Log<A>(A);

/// The kind of application that a `Log` is.
pub enum Logged {}

impl<A, M> Application<(Logged, M)> for Log<A>
where
    A: Application<M>,
{
    fn run(self, environ: Environ, start_response: StartResponse) -> Result<()> {
        let errors = environ.errors();
        let [mount, path] = ["SCRIPT_NAME", "PATH_INFO"].map(|name| environ.get(name).unwrap_or_default());
        let request = format!("{} \"{}{}\"", environ.method(), in_line(mount.as_bytes()), in_line(path.as_bytes()));
        let gateway = environ.gateway.clone();
        let summary = Rc::new(Summary { below: gateway.below(), status: RefCell::default(), bytes: Cell::default() });
        let outcome = gateway.under(&summary, || self.0.run(environ, start_response));
        errors.log(format!("{request}: {}", summary.text(outcome.as_ref().err())));
        outcome
    }
}

/// A path in which nothing can end the line or the quotes. The host escapes the rest for the terminal, so what is escaped
/// here is percent-encoded, as it was sent.
fn in_line(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for part in path.utf8_chunks() {
        for char in part.valid().chars() {
            match char {
                '"' | '\0'..='\x1f' | '\x7f' => text.push_str(&format!("%{:02X}", u32::from(char))),
                char => text.push(char),
            }
        }
        part.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

/// The layer that `log` adds.
struct Summary {
    below: Below,
    status: RefCell<Option<String>>,
    bytes: Cell<usize>,
}

impl Summary {
    fn text(&self, error: Option<&Error>) -> String {
        let status = self.status.borrow();
        let bytes = self.bytes.get();
        // The text of an error may have several lines.
        let error = error.map(|error| error.to_string().replace(['\r', '\n'], " "));
        match (status.as_deref(), error) {
            (Some(status), None) => format!("{status}, {bytes} bytes"),
            (Some(status), Some(error)) if bytes > 0 => format!("{status}, {bytes} bytes, then failed: {error}"),
            (_, Some(error)) => format!("failed: {error}"),
            (None, None) => "no response".to_owned(),
        }
    }
}

impl Layer for Summary {
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
            self.bytes.set(self.bytes.get() + chunk.len());
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
            Environ::for_test([("REQUEST_METHOD", "POST"), ("SCRIPT_NAME", "/app"), ("PATH_INFO", "/a\n\"b\"\u{e9}")]);
        let mut answer = call(log(application), environ);
        assert_eq!(answer.log.len(), 1, "{answer:?}");
        answer.log.remove(0).strip_prefix("POST \"/app/a%0A%22b%22\u{e9}\": ").unwrap().to_owned()
    }

    #[test]
    fn a_request_is_one_line() {
        assert_eq!(line(|_: Environ| "text"), "200 OK, 4 bytes");
        assert_eq!(line(|_: Environ| (204, ())), "204 No Content, 0 bytes");
        assert_eq!(line(|_: Environ| ["ab", "", "c"].into_iter()), "200 OK, 3 bytes");
        let pushed = |_: Environ, start_response: StartResponse| -> Result<&'static str> {
            start_response("200 OK", &[])(b"written, ")?;
            Ok("returned")
        };
        assert_eq!(line(pushed), "200 OK, 17 bytes");
    }

    #[test]
    fn a_failure_is_one_line_with_its_reason() {
        assert_eq!(line(|_: Environ| Err::<&str, _>("no\ndisk")), "failed: no disk");
        assert_eq!(line(|_: Environ, _: StartResponse| "late"), "failed: start_response was not called");
        assert_eq!(line(|_: Environ, _: StartResponse| Err::<(), _>("no disk")), "failed: no disk");
        let cut = |_: Environ| [Ok("half"), Err("no disk")].into_iter();
        assert_eq!(line(cut), "200 OK, 4 bytes, then failed: no disk");
    }
}
