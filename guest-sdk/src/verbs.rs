//! One method for each HTTP method.

use crate::{Environ, IntoResponse, Response, Result};

/// A handler with one method for each HTTP method, modelled on Python's `BaseHTTPRequestHandler`. What is not implemented
/// answers `501 Unsupported method`.
///
/// ```
/// use wasmserve_guest::{Environ, IntoResponse, Result, Verbs, handler};
///
/// handler!(Test);
///
/// struct Test;
///
/// impl Verbs for Test {
///     fn do_get(&mut self, _environ: Environ) -> Result {
///         "Test from GET!".into_response()
///     }
///
///     fn do_post(&mut self, environ: Environ) -> Result {
///         let form = environ.form()?;
///         (201, form.to_string()).into_response()
///     }
/// }
/// # let answer = wasmserve_guest::testing::call(Test, Environ::made([("REQUEST_METHOD", "BREW")]));
/// # assert_eq!(answer.status, "501 Unsupported method ('BREW')");
/// ```
#[allow(unused_variables, reason = "named for the documentation")]
pub trait Verbs {
    /// The methods that there are. If any are listed, the others of this trait answer `405 Method Not Allowed` with
    /// `Allow`, and `OPTIONS` has an answer: 204 with `Allow`. Methods unknown to this trait still go to
    /// [`do_other`](Self::do_other).
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, IntoResponse, Result, Verbs, testing::call};
    /// struct Test;
    ///
    /// impl Verbs for Test {
    ///     const METHODS: &'static [&'static str] = &["GET"];
    ///
    ///     fn do_get(&mut self, _environ: Environ) -> Result {
    ///         "Test from GET!".into_response()
    ///     }
    /// }
    ///
    /// let answer = call(Test, Environ::made([("REQUEST_METHOD", "PUT")]));
    /// assert_eq!(answer.status, "405 Method Not Allowed");
    /// ```
    const METHODS: &'static [&'static str] = &[];

    /// Whether `HEAD` is answered by [`do_get`](Self::do_get); the host leaves the body out.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, IntoResponse, Result, Verbs, testing::call};
    /// struct Test;
    ///
    /// impl Verbs for Test {
    ///     const HEAD_FROM_GET: bool = true;
    ///
    ///     fn do_get(&mut self, _environ: Environ) -> Result {
    ///         "Test from GET!".into_response()
    ///     }
    /// }
    ///
    /// let answer = call(Test, Environ::made([("REQUEST_METHOD", "HEAD")]));
    /// assert_eq!(answer.status, "200 OK");
    /// ```
    const HEAD_FROM_GET: bool = false;

    /// Answers `GET`.
    fn do_get(&mut self, environ: Environ) -> Result<Response> {
        self.do_other(environ)
    }

    /// Answers `HEAD`.
    fn do_head(&mut self, environ: Environ) -> Result<Response> {
        if Self::HEAD_FROM_GET { self.do_get(environ) } else { self.do_other(environ) }
    }

    /// Answers `POST`.
    fn do_post(&mut self, environ: Environ) -> Result<Response> {
        self.do_other(environ)
    }

    /// Answers `PUT`.
    fn do_put(&mut self, environ: Environ) -> Result<Response> {
        self.do_other(environ)
    }

    /// Answers `DELETE`.
    fn do_delete(&mut self, environ: Environ) -> Result<Response> {
        self.do_other(environ)
    }

    /// Answers `PATCH`.
    fn do_patch(&mut self, environ: Environ) -> Result<Response> {
        self.do_other(environ)
    }

    /// Answers `OPTIONS`.
    fn do_options(&mut self, environ: Environ) -> Result<Response> {
        if Self::METHODS.is_empty() {
            self.do_other(environ)
        } else {
            (204, [("Allow", allow::<Self>())], ()).into_response()
        }
    }

    /// Answers `TRACE`. An implementation should not echo credentials (RFC 9110 section 9.3.8).
    fn do_trace(&mut self, environ: Environ) -> Result<Response> {
        self.do_other(environ)
    }

    /// Answers every other method, and those that are not implemented.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, IntoResponse, Result, Verbs, testing::call};
    /// struct Teapot;
    ///
    /// impl Verbs for Teapot {
    ///     fn do_other(&mut self, environ: Environ) -> Result {
    ///         match &*environ.method() {
    ///             b"BREW" => ("418 I'm a teapot", "short and stout\n").into_response(),
    ///             _ => (501, ()).into_response(),
    ///         }
    ///     }
    /// }
    ///
    /// let answer = call(Teapot, Environ::made([("REQUEST_METHOD", "BREW")]));
    /// assert_eq!(answer.status, "418 I'm a teapot");
    /// ```
    fn do_other(&mut self, environ: Environ) -> Result<Response> {
        // A method is a token (RFC 9110 section 9.1), so there is nothing in it that would have to be escaped.
        let problem = format!("Unsupported method ('{}')", environ.method());
        (format!("501 {problem}"), format!("{problem}\n")).into_response()
    }

    /// Is told of each answer before it is sent, also of a 501 or 405; not of an error, since that has no answer yet. It
    /// does nothing, because the host has an access log: the counterpart of `BaseHTTPRequestHandler.log_request`, for a
    /// handler that wants lines of its own.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, IntoResponse, Result, Verbs};
    /// # struct Test;
    /// impl Verbs for Test {
    ///     fn do_get(&mut self, _environ: Environ) -> Result {
    ///         "Test from GET!".into_response()
    ///     }
    ///
    ///     fn log_request(&self, environ: &Environ, status: &str) {
    ///         // With `:?` nobody can ask for a path that looks like another line.
    ///         environ.errors().log(format!("{} {:?}: {status}", environ.method(), environ.path()));
    ///     }
    /// }
    /// # let answer = wasmserve_guest::testing::call(Test, Environ::made([("PATH_INFO", "/a\nb")]));
    /// # assert_eq!(answer.log, [r#"GET "/a\nb": 200 OK"#]);
    /// ```
    fn log_request(&self, environ: &Environ, status: &str) {}
}

pub(crate) fn dispatch<V: Verbs>(verbs: &mut V, environ: Environ) -> Result<Response> {
    let method = environ.method();
    let answer = match &*method {
        b"GET" => V::do_get,
        b"HEAD" => V::do_head,
        b"POST" => V::do_post,
        b"PUT" => V::do_put,
        b"DELETE" => V::do_delete,
        b"PATCH" => V::do_patch,
        b"OPTIONS" => V::do_options,
        b"TRACE" => V::do_trace,
        _ => return verbs.do_other(environ),
    };
    if V::METHODS.is_empty() || allowed::<V>().any(|allowed| method == allowed) {
        answer(verbs, environ)
    } else {
        let refused = (405, format!("Method not allowed ('{method}')\n")).into_response()?;
        Ok(refused.with_header("Allow", allow::<V>()))
    }
}

/// The methods listed, and those that follow from them.
fn allowed<V: Verbs + ?Sized>() -> impl Iterator<Item = &'static str> {
    let listed = |method: &&str| V::METHODS.contains(method);
    let head = (V::HEAD_FROM_GET && listed(&"GET")).then_some("HEAD");
    let implied = head.into_iter().chain(["OPTIONS"]);
    let implied = implied.filter(move |method| !listed(method));
    V::METHODS.iter().copied().chain(implied)
}

fn allow<V: Verbs + ?Sized>() -> String {
    allowed::<V>().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, call};

    struct Plain;

    impl Verbs for Plain {
        fn do_get(&mut self, _environ: Environ) -> Result {
            "got".into_response()
        }
    }

    struct Listed;

    impl Verbs for Listed {
        const METHODS: &'static [&'static str] = &["GET", "POST"];
        const HEAD_FROM_GET: bool = true;

        fn do_get(&mut self, _environ: Environ) -> Result {
            "got".into_response()
        }
    }

    fn ask<M>(verbs: impl crate::Application<M>, method: &'static str) -> Answer {
        call(verbs, Environ::made([("REQUEST_METHOD", method)]))
    }

    #[test]
    fn v1_v3_v5_what_is_not_implemented_is_a_501() {
        assert_eq!(ask(Plain, "GET").body, b"got");
        for method in ["HEAD", "POST", "OPTIONS", "TRACE", "BREW", "get"] {
            let answer = ask(Plain, method);
            assert_eq!(answer.status, format!("501 Unsupported method ('{method}')"));
            assert_eq!(answer.header("Content-Type").unwrap(), &"text/plain; charset=utf-8");
        }
    }

    #[test]
    fn v2_a_list_of_methods_makes_a_405_of_the_others() {
        let answer = ask(Listed, "DELETE");
        assert_eq!(answer.status, "405 Method Not Allowed");
        assert_eq!(answer.header("Allow").unwrap(), &"GET, POST, HEAD, OPTIONS");
        assert!(ask(Listed, "BREW").status.starts_with("501 "));
        assert!(ask(Listed, "POST").status.starts_with("501 "));
    }

    #[test]
    fn v4_a_list_of_methods_answers_options() {
        let answer = ask(Listed, "OPTIONS");
        assert_eq!(answer.status, "204 No Content");
        assert_eq!(answer.header("Allow").unwrap(), &"GET, POST, HEAD, OPTIONS");
        assert_eq!(answer.headers.len(), 1);
    }

    struct Logging;

    impl Verbs for Logging {
        const METHODS: &'static [&'static str] = &["GET", "POST"];

        fn do_get(&mut self, environ: Environ) -> Result {
            environ.errors().log("decided");
            (404, ["sent"].into_iter().inspect(move |chunk| environ.errors().log(chunk))).into_response()
        }

        fn do_post(&mut self, _environ: Environ) -> Result {
            Err("no disk".into())
        }

        fn log_request(&self, environ: &Environ, status: &str) {
            environ.errors().log(format!("{} {status}", environ.method()));
        }
    }

    #[test]
    fn an_answer_is_logged_once_before_it_is_sent() {
        assert_eq!(ask(Logging, "GET").log, ["decided", "GET 404 Not Found", "sent"]);
        assert_eq!(ask(Logging, "PUT").log, ["PUT 405 Method Not Allowed"]);
        assert_eq!(ask(Logging, "BREW").log, ["BREW 501 Unsupported method ('BREW')"]);
        assert!(ask(Logging, "POST").log.is_empty());
    }

    #[test]
    fn v3_head_is_get_where_one_says_so() {
        assert_eq!(ask(Listed, "HEAD").status, "200 OK");
    }
}
