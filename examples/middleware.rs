//! Middleware around an application: a log line for each request, a header field in each response, and a password. The
//! application does not know about any of it.
//!
//! Try it: `curl -i http://127.0.0.1:8000/` and `curl -i -u alice:sesame http://127.0.0.1:8000/`

use wasmserve_guest::prelude::*;

handler!(log(private(basic_auth("the back room", credentials("alice", "sesame"), app))));

fn app(environ: Environ) -> String {
    format!("Hello, {}!\n", environ.get("REMOTE_USER").unwrap_or_default())
}

/// Custom middleware: forbids caches to store responses, and hides paths that start with a dot.
fn private<M>(app: impl Application<M>) -> impl Application<Wrapped> {
    wrap(|environ, start_response| {
        if environ.path().starts_with("/.") {
            return Refusal::new(404, "there are no hidden files here").into_response()?.run(environ, start_response);
        }
        on_head(|head| head.set("Cache-Control", "no-store"), app).run(environ, start_response)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, authorization: &str) -> testing::Answer {
        let environ = Environ::for_test([("PATH_INFO", path), ("HTTP_AUTHORIZATION", authorization)]);
        let guarded = log(private(basic_auth("the back room", credentials("alice", "sesame"), app)));
        testing::call(validator(guarded), environ)
    }

    #[test]
    fn the_right_password_is_accepted() {
        let answer = ask("/", "Basic YWxpY2U6c2VzYW1l");
        assert_eq!(answer.body, b"Hello, alice!\n");
        assert_eq!(answer.header("Cache-Control").unwrap(), &"no-store");
        assert_eq!(answer.log, [r#"GET "/": 200 OK, 14 bytes"#]);
    }

    #[test]
    fn other_clients_get_a_challenge_and_are_logged() {
        let answer = ask("/", "");
        assert_eq!(answer.header("WWW-Authenticate").unwrap(), &r#"Basic realm="the back room", charset="UTF-8""#);
        assert_eq!(answer.header("Cache-Control").unwrap(), &"no-store");
        assert_eq!(answer.log, [r#"GET "/": 401 Unauthorized, 17 bytes"#]);
        assert_eq!(ask("/.git/config", "").log, [r#"GET "/.git/config": 404 Not Found, 31 bytes"#]);
    }
}
