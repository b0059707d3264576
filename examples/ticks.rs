//! Streams one line per second: ten, or `?n=` of them. Each line is sent immediately. If the client disconnects, the
//! handler stops at the next line.
//!
//! Try it: `curl -N 'http://127.0.0.1:8000/?n=3'`

use std::{thread, time::Duration};

use wasmserve_guest::{Environ, handler};

handler!(app);

type Headers = [(&'static str, &'static str); 1];

fn app(environ: Environ) -> (u16, Headers, impl Iterator<Item = String>) {
    let query = environ.query();
    let count = query.get("n").and_then(|n| n.parse().ok()).unwrap_or(10);
    let ticks = (1..=count).map(|tick: u32| {
        if tick > 1 {
            thread::sleep(Duration::from_secs(1));
        }
        format!("tick {tick}\n")
    });
    (200, [("Content-Type", "text/plain")], ticks)
}

#[cfg(test)]
mod tests {
    use wasmserve_guest::{testing::call, validator};

    use super::*;

    #[test]
    fn a_tick_is_a_chunk() {
        let answer = call(validator(app), Environ::for_test([("QUERY_STRING", "n=2")]));
        assert_eq!(answer.chunks, [b"tick 1\n", b"tick 2\n"]);
        assert!(answer.log.is_empty());
    }
}
