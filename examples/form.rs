//! Reads a form as Python's `parse_qs` does: every name has a list of values. The form goes into the log and into the
//! reply.
//!
//! Try it: `curl -X POST -d abc=def http://127.0.0.1:8000/`

use std::io;

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> io::Result<String> {
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
    fn half_a_form_is_none() {
        let environ = Environ::for_test([]).with_input("abc=d");
        let answer = call(validator(app), environ.with_read_error(ReadError::Disconnected));
        assert_eq!(answer.status, "500 Internal Server Error");
        assert!(answer.log.is_empty());
    }
}
