//! Counts the visits of a client in a cookie. The client has to store the number, because nothing in the handler
//! survives the request.
//!
//! Try it twice: `curl -c jar -b jar http://127.0.0.1:8000/`

use wasmserve_guest::prelude::*;

handler!(app);

fn app(environ: Environ) -> Result {
    // The client can send anything, so start again if the value is not a number or too large.
    let before: u32 = environ.cookies().get("visits").and_then(|visits| visits.parse().ok()).unwrap_or(0);
    let visits = before.saturating_add(1);
    let cookie = Cookie::new("visits", visits.to_string()).path("/").http_only().same_site(SameSite::Lax);
    let response = format!("visit {visits}\n").into_response()?;
    // The response is for this client only, so caches must not store it.
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
