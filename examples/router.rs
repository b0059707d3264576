//! Routes each path to an application. Unknown paths are a 404, other methods a 405, and OPTIONS lists the methods.
//!
//! Try it: `curl http://127.0.0.1:8000/greet/you` and `curl -i -X DELETE http://127.0.0.1:8000/greet/you`

use wasmserve_guest::prelude::*;

handler!(router());

fn router() -> Router {
    Router::new()
        .get("/", |_: Environ| "Ask for /greet/NAME, /square/NUMBER or /tail/ANYTHING.\n")
        .get("/greet/{name}", greet)
        .post("/greet/{name}", |_: Environ| (202, "I will.\n"))
        .get("/greet/nobody", |_: Environ| (204, ()))
        .get("/square/{number}", square)
        .any("/tail/{*rest}", tail)
}

fn greet(environ: Environ) -> String {
    format!("Hello, {}!\n", environ.param("name").unwrap_or_default())
}

fn square(environ: Environ) -> Result<String> {
    let number: Option<u32> = environ.param("number").and_then(|number| number.parse().ok());
    let number = number.ok_or(Refusal::new(404, "only numbers have a square"))?;
    Ok(format!("{}\n", u64::from(number).pow(2)))
}

fn tail(environ: Environ) -> String {
    format!("{} of {:?}\n", environ.method(), environ.param("rest").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, path: &str) -> testing::Answer {
        let environ = Environ::for_test([("REQUEST_METHOD", method), ("PATH_INFO", path)]);
        let answer = testing::call(validator(router()), environ);
        assert!(answer.log.is_empty(), "{answer:?}");
        answer
    }

    #[test]
    fn paths_select_their_applications() {
        assert_eq!(ask("GET", "/greet/you").body, b"Hello, you!\n");
        assert_eq!(ask("POST", "/greet/you").body, b"I will.\n");
        assert_eq!(ask("GET", "/greet/nobody").status, "204 No Content");
        assert_eq!(ask("GET", "/square/4294967295").body, b"18446744065119617025\n");
        assert_eq!(ask("BREW", "/tail/a//b").body, b"BREW of \"a//b\"\n");
    }

    #[test]
    fn unknown_paths_and_methods_are_refused() {
        assert_eq!(ask("GET", "/greet").status, "404 Not Found");
        assert_eq!(ask("GET", "/square/x").body, b"only numbers have a square\n");
        let answer = ask("DELETE", "/greet/you");
        assert_eq!(answer.status, "405 Method Not Allowed");
        assert_eq!(answer.header("Allow").unwrap(), &"GET, HEAD, POST, OPTIONS");
    }
}
