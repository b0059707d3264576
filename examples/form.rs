//! Parses a form like Python's `parse_qs`, which has a list of values for every name. Logs the form and sends it back.
//! Nothing is kept: each request starts the handler anew.
//!
//! Try it: `curl -d abc=def http://127.0.0.1:8000/`, and with a file: `curl -F file=@form.rs http://127.0.0.1:8000/`

use wasmserve_guest::{Environ, Result, handler};

handler!(app);

fn app(environ: Environ) -> Result<String> {
    let form = environ.form()?;
    environ.errors().log(form.to_string());
    Ok(format!("{form}\n"))
}

#[cfg(test)]
mod tests {
    use wasmserve_guest::{ReadError, testing::call, validator};

    use super::*;

    #[test]
    fn the_form_is_logged_and_sent() {
        let answer = call(validator(app), Environ::for_test([]).with_input("abc=def"));
        assert_eq!(answer.log, ["{'abc': ['def']}"]);
        assert_eq!(answer.body, b"{'abc': ['def']}\n");
    }

    #[test]
    fn other_bodies_are_refused() {
        let json = Environ::for_test([("CONTENT_TYPE", "application/json")]).with_input("{}");
        assert_eq!(call(validator(app), json).status, "415 Unsupported Media Type");
    }

    #[test]
    fn an_incomplete_form_is_an_error() {
        let environ = Environ::for_test([]).with_input("abc=d");
        let answer = call(validator(app), environ.with_read_error(ReadError::Disconnected));
        assert_eq!(answer.status, "500 Internal Server Error");
        assert!(answer.log.is_empty());
    }
}
