//! Lists all variables of the request, one per line. Compare them with `environ.headers()`, which returns the header
//! fields as the client sent them.
//!
//! Try it: `curl 'http://127.0.0.1:8000/a%20path?a=query' -H 'X-Mine: 1'`

use wasmserve_guest::{Environ, handler};

handler!(app);

fn app(environ: Environ) -> String {
    let variables = environ.copy_all().into_iter();
    variables.map(|(name, value)| format!("{name} = {value:?}\n")).collect()
}

#[cfg(test)]
mod tests {
    use wasmserve_guest::{testing::call, validator};

    use super::*;

    #[test]
    fn a_variable_is_one_line() {
        let answer = call(validator(app), Environ::for_test([("HTTP_X_MINE", "caf\u{e9}")]));
        let lines = String::from_utf8(answer.body).unwrap();
        assert!(lines.contains("\nHTTP_X_MINE = \"caf\\xc3\\xa9\"\n"), "{lines}");
        assert!(answer.log.is_empty());
    }
}
