//! A filter to start from: logs each request with its status and time, adds a field to the response, and can answer in the
//! handler's stead.
//!
//! ```sh
//! wasmserve hello.rs --wrap stamp.rs
//! wasmserve hello.rs --wrap stamp.rs,closed='We are open from Monday'
//! ```

use std::time::Instant;

use wasmserve_guest::{Errors, filter::*, prelude::*};

filter!(Stamp);

struct Stamp {
    began: Instant,
    closed: Option<String>,
    /// What was asked for, and where to log it.
    request: Option<(String, Errors)>,
    status: String,
}

impl Filter for Stamp {
    /// Reads the options. Options that are not asked for are refused when the server starts.
    fn new(options: &Options) -> Result<Self> {
        let closed = options.get("closed").map(str::to_owned);
        Ok(Self { began: Instant::now(), closed, request: None, status: "no response".to_owned() })
    }

    /// Called before the handler, with the request.
    fn before(&mut self, request: &mut Request) -> Result<Next> {
        self.request = Some((format!("{} {:?}", request.method(), request.path()), request.errors()));
        if let Some(text) = &self.closed {
            self.status = "closed".to_owned();
            return Ok(Next::Answer(Refusal::new(503, text.clone()).into_response()?));
        }
        // The handler finds it as `environ.get("stamp.began")`.
        request.set("stamp.began", "now");
        Ok(Next::Forward)
    }

    /// Called when the handler starts its response. With `Body::Changed`, `write` and `end` could change its body, too.
    fn head(&mut self, head: &mut Head) -> Body {
        self.status.clone_from(&head.status);
        head.set("Server-Timing", format!("handler;dur={:.1}", self.began.elapsed().as_secs_f64() * 1000.0));
        Body::Same
    }

    /// Called when the handler has returned.
    fn after(&mut self, outcome: &mut Outcome) {
        let Some((request, log)) = &self.request else { return };
        let status = match &outcome.result {
            Ok(()) => &self.status,
            Err(text) => text,
        };
        log.log(format!("{request}: {status} in {:.1?}", self.began.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(environ: Environ) -> String {
        format!("Hello, {}!\n", environ.get("stamp.began").unwrap_or_default())
    }

    #[test]
    fn responses_are_stamped_and_logged() {
        let answer = testing::call_behind::<Stamp, _>(&[], validator(app), Environ::for_test([]));
        assert_eq!((&*answer.status, &*answer.body), ("200 OK", &b"Hello, now!\n"[..]));
        assert!(answer.header("Server-Timing").is_some_and(|value| value.as_str().starts_with("handler;dur=")));
        assert!(answer.log[0].starts_with("GET \"/\": 200 OK in "), "{:?}", answer.log);
    }

    #[test]
    fn a_closed_door_answers_without_the_handler() {
        let options = [("closed", "come again")];
        let never = |_: Environ| -> String { unreachable!("the filter has answered") };
        let answer = testing::call_behind::<Stamp, _>(&options, never, Environ::for_test([]));
        assert_eq!((&*answer.status, &*answer.body), ("503 Service Unavailable", &b"come again\n"[..]));
    }

    #[test]
    fn a_failure_is_logged_and_stays_one() {
        let fails = |_: Environ| Err::<(), _>("no disk");
        let answer = testing::call_behind::<Stamp, _>(&[], fails, Environ::for_test([]));
        assert_eq!(answer.fault.as_deref(), Some("no disk"));
        assert!(answer.log[0].starts_with("GET \"/\": no disk in "), "{:?}", answer.log);
    }
}
