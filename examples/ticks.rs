//! Streams one line per second: ten, or `?n=` of them. Each line is sent immediately. If the client disconnects, the
//! handler stops at the next line. A browser's `EventSource` gets server-sent events instead of lines.
//!
//! Try it: `curl -N 'http://127.0.0.1:8000/?n=3'`, and with `-H 'Accept: text/event-stream'`

use std::{thread, time::Duration};

use wasmserve_guest::prelude::*;

handler!(app);

fn app(environ: Environ) -> Result {
    let count = environ.query().get("n").and_then(|n| n.parse().ok()).unwrap_or(10);
    // After an interruption, `EventSource` sends the id of the last event that it got.
    let last = environ.header("Last-Event-ID").and_then(|id| id.parse().ok()).unwrap_or(0_u32);
    let ticks = (last.saturating_add(1)..=count).inspect(move |tick| {
        if *tick > last.saturating_add(1) {
            thread::sleep(Duration::from_secs(1));
        }
    });
    if environ.header("Accept") == Some("text/event-stream") {
        return Sse(ticks.map(|tick| Event::new(format!("tick {tick}")).id(tick.to_string()))).into_response();
    }
    (200, [("Content-Type", "text/plain")], ticks.map(|tick| format!("tick {tick}\n"))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_a_chunk() {
        let answer = testing::call(validator(app), Environ::for_test([("QUERY_STRING", "n=2")]));
        assert_eq!(answer.chunks, [b"tick 1\n", b"tick 2\n"]);
        assert!(answer.log.is_empty());
    }

    #[test]
    fn an_event_source_gets_events_and_may_continue() {
        let variables = [("QUERY_STRING", "n=3"), ("HTTP_ACCEPT", "text/event-stream"), ("HTTP_LAST_EVENT_ID", "2")];
        let answer = testing::call(validator(app), Environ::for_test(variables));
        assert_eq!(answer.header("Content-Type").unwrap(), "text/event-stream");
        assert_eq!(answer.body, b"id: 3\ndata: tick 3\n\n");
    }
}
