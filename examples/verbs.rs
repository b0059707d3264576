//! One method for each HTTP method, as in Python's `BaseHTTPRequestHandler`. Other methods answer 501.
//!
//! Try it: `curl -X POST -d abc=def http://127.0.0.1:8000/` and `curl -i -X BREW http://127.0.0.1:8000/`

use wasmserve_guest::{Environ, IntoResponse, Result, Verbs, handler};

handler!(Test);

/// A new one for each request: nothing that it keeps is there in the next one.
struct Test;

impl Verbs for Test {
    fn do_get(&mut self, _environ: Environ) -> Result {
        "Test from GET!".into_response()
    }

    fn do_post(&mut self, environ: Environ) -> Result {
        let form = environ.form()?;
        environ.errors().log(form.to_string());
        "Test from POST!".into_response()
    }
}

#[cfg(test)]
mod tests {
    use wasmserve_guest::{
        testing::{Answer, call},
        validator,
    };

    use super::*;

    fn ask(method: &str) -> Answer {
        let environ = Environ::for_test([("REQUEST_METHOD", method)]);
        call(validator(Test), environ.with_input("abc=def"))
    }

    #[test]
    fn get_and_post_are_answered() {
        assert_eq!(ask("GET").body, b"Test from GET!");
        let post = ask("POST");
        assert_eq!(post.body, b"Test from POST!");
        assert_eq!(post.log, ["{'abc': ['def']}"]);
    }

    #[test]
    fn other_methods_are_unsupported() {
        assert_eq!(ask("BREW").status, "501 Unsupported method ('BREW')");
        let head = ask("HEAD");
        assert_eq!(head.status, "501 Unsupported method ('HEAD')");
        assert!(head.log.is_empty());
    }
}
