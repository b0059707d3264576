//! Handlers with one method for each HTTP method.

use crate::{Environ, IntoResponse, Response, Result};

/// A handler with one method for each HTTP method, modelled on Python's `BaseHTTPRequestHandler`. Methods that are not
/// implemented answer `501 Unsupported method`.
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
/// # let answer = wasmserve_guest::testing::call(Test, Environ::for_test([("REQUEST_METHOD", "BREW")]));
/// # assert_eq!(answer.status, "501 Unsupported method ('BREW')");
/// ```
#[allow(unused_variables, reason = "named for the documentation")]
pub trait Verbs {
    /// The methods that the handler supports. If the list is not empty, the other methods of this trait answer `405
    /// Method Not Allowed` with `Allow`, and `OPTIONS` answers 204 with `Allow`. Methods that this trait does not know
    /// still go to [`do_other`](Self::do_other).
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
    /// let answer = call(Test, Environ::for_test([("REQUEST_METHOD", "PUT")]));
    /// assert_eq!(answer.status, "405 Method Not Allowed");
    /// ```
    const METHODS: &'static [&'static str] = &[];

    /// Whether [`do_get`](Self::do_get) answers `HEAD`. The host drops the body.
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
    /// let answer = call(Test, Environ::for_test([("REQUEST_METHOD", "HEAD")]));
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

    /// Answers all other methods, and those that are not implemented.
    ///
    /// ```
    /// # use wasmserve_guest::{Environ, IntoResponse, Result, Verbs, testing::call};
    /// struct Teapot;
    ///
    /// impl Verbs for Teapot {
    ///     fn do_other(&mut self, environ: Environ) -> Result {
    ///         match environ.method() {
    ///             "BREW" => ("418 I'm a teapot", "short and stout\n").into_response(),
    ///             _ => (501, ()).into_response(),
    ///         }
    ///     }
    /// }
    ///
    /// let answer = call(Teapot, Environ::for_test([("REQUEST_METHOD", "BREW")]));
    /// assert_eq!(answer.status, "418 I'm a teapot");
    /// ```
    fn do_other(&mut self, environ: Environ) -> Result<Response> {
        // A method is a token (RFC 9110 section 9.1), so nothing in it needs to be escaped.
        let problem = format!("Unsupported method ('{}')", environ.method());
        (format!("501 {problem}"), format!("{problem}\n")).into_response()
    }

    /// Called with every response before it is sent, including a 501 or 405, but not with an error, which has no
    /// response yet. Implement it to log in your own format, like `BaseHTTPRequestHandler.log_request`. The default
    /// does nothing, because the host has an access log.
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
    ///         // `:?` escapes line feeds, so a path cannot forge a line.
    ///         environ.errors().log(format!("{} {:?}: {status}", environ.method(), environ.path()));
    ///     }
    /// }
    /// # let answer = wasmserve_guest::testing::call(Test, Environ::for_test([("PATH_INFO", "/a\nb")]));
    /// # assert_eq!(answer.log, [r#"GET "/a\nb": 200 OK"#]);
    /// ```
    fn log_request(&self, environ: &Environ, status: &str) {}
}

pub(crate) fn dispatch<V: Verbs>(verbs: &mut V, environ: Environ) -> Result<Response> {
    let method = environ.method().to_owned();
    let answer = match &*method {
        "GET" => V::do_get,
        "HEAD" => V::do_head,
        "POST" => V::do_post,
        "PUT" => V::do_put,
        "DELETE" => V::do_delete,
        "PATCH" => V::do_patch,
        "OPTIONS" => V::do_options,
        "TRACE" => V::do_trace,
        _ => return verbs.do_other(environ),
    };
    if V::METHODS.is_empty() || allowed::<V>().any(|allowed| method == allowed) {
        answer(verbs, environ)
    } else {
        let refused = (405, format!("Method not allowed ('{method}')\n")).into_response()?;
        Ok(refused.with_header("Allow", allow::<V>()))
    }
}

/// The listed methods, and those that follow from them.
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
        call(verbs, Environ::for_test([("REQUEST_METHOD", method)]))
    }

    #[test]
    fn v1_v3_v5_an_unimplemented_method_is_a_501() {
        assert_eq!(ask(Plain, "GET").body, b"got");
        for method in ["HEAD", "POST", "OPTIONS", "TRACE", "BREW", "get"] {
            let answer = ask(Plain, method);
            assert_eq!(answer.status, format!("501 Unsupported method ('{method}')"));
            assert_eq!(answer.header("Content-Type").unwrap(), &"text/plain; charset=utf-8");
        }
    }

    #[test]
    fn v2_with_a_list_of_methods_the_others_are_a_405() {
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
    fn a_response_is_logged_once_before_it_is_sent() {
        assert_eq!(ask(Logging, "GET").log, ["decided", "GET 404 Not Found", "sent"]);
        assert_eq!(ask(Logging, "PUT").log, ["PUT 405 Method Not Allowed"]);
        assert_eq!(ask(Logging, "BREW").log, ["BREW 501 Unsupported method ('BREW')"]);
        assert!(ask(Logging, "POST").log.is_empty());
    }

    #[test]
    fn v3_head_is_answered_by_get_on_request() {
        assert_eq!(ask(Listed, "HEAD").status, "200 OK");
    }
}
