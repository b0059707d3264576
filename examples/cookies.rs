//! Counts the visits of a client, in a cookie: the client keeps the number, as the handler forgets everything.
//!
//! Try it: `curl -c jar -b jar http://127.0.0.1:8000/`, twice

use wasmserve_guest::prelude::*;

handler!(app);

fn app(environ: Environ) -> Result {
    // Whatever the client cares to send: a number that is none, or too large, begins anew.
    let before: u32 = environ.cookies().get("visits").and_then(|visits| visits.parse()).unwrap_or(0);
    let visits = before.saturating_add(1);
    let cookie = Cookie::new("visits", visits.to_string()).path("/").http_only().same_site(SameSite::Lax);
    let response = format!("visit {visits}\n").into_response()?;
    // It is for this client alone, so no cache may keep it.
    Ok(response.with_header("Set-Cookie", cookie.to_value()?).with_header("Cache-Control", "no-store"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_is_counted() {
        for (sent, visits) in [("", 1), ("visits=1", 2), ("a=b; visits=41", 42), ("visits=many", 1), ("visits=-1", 1)] {
            let answer = testing::call(validator(app), Environ::for_test([("HTTP_COOKIE", sent)]));
            assert_eq!(answer.body, format!("visit {visits}\n").into_bytes(), "{sent}");
            let expected = format!("visits={visits}; Path=/; HttpOnly; SameSite=Lax");
            assert_eq!(answer.header("Set-Cookie").unwrap(), &*expected);
            assert!(answer.log.is_empty());
        }
    }
}
