//! How much memory records need.

use std::mem;

use super::{
    record::{Line, Record, Side},
    script::{Call, Outbound, Script},
};

/// What a record needs besides its bytes, about.
pub(super) const OVERHEAD: usize = 1 << 10;

/// How much memory a record needs, about. Files may come from anywhere, so everything counts that can be long.
pub(super) fn footprint(record: &Record) -> usize {
    let Record { facts, handler, request, response, lines, fault, script, left, kept, .. } = record;
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::capacity);
    let of_side = |side: &Side| side.bytes.len() + side.turns.capacity() * mem::size_of::<(u64, u32)>();
    let of_lines: usize = lines.iter().map(|line| line.stream.capacity() + line.text.capacity()).sum();
    let of_facts =
        facts.as_ref().map_or(0, |facts| facts.mount.capacity() + text(&facts.server_name) + texts(&facts.env));
    let of_fault =
        fault.as_ref().map_or(0, |fault| fault.kind.capacity() + fault.text.capacity() + texts(&fault.stack));
    OVERHEAD
        + of_side(request)
        + of_side(response)
        + lines.capacity() * mem::size_of::<Line>()
        + of_lines
        + of_facts
        + of_fault
        + handler.as_ref().map_or(0, |handler| handler.name.capacity())
        + script.as_ref().map_or(0, of_script)
        + text(left)
        + text(kept)
}

fn texts(texts: &[String]) -> usize {
    mem::size_of_val(texts) + texts.iter().map(String::capacity).sum::<usize>()
}

fn of_script(Script { seed, calls, outbound, missing }: &Script) -> usize {
    let of_call =
        |call: &Call| if let Call::Ready(ready) = call { ready.capacity() * mem::size_of::<u32>() } else { 0 };
    seed.capacity()
        + calls.capacity() * mem::size_of::<Call>()
        + calls.iter().map(of_call).sum::<usize>()
        + outbound.capacity() * mem::size_of::<Outbound>()
        + outbound.iter().map(Outbound::size).sum::<usize>()
        + texts(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::sample;

    #[test]
    fn o4_everything_that_can_be_long_counts() {
        let plain = Record { lines: Vec::new(), ..sample::record(b"", b"") };
        let long = || "x".repeat(1000);
        let lines = vec![Line { at: 0, stream: "log".into(), text: long() }];
        let script = Script {
            missing: vec![long()],
            outbound: vec![Outbound { url: long(), body: vec![0; 1000], ..Outbound::default() }],
            ..Script::default()
        };
        let request = Side { turns: vec![(0, 1); 100], ..plain.request.clone() };
        for record in [
            Record { lines, ..plain.clone() },
            Record { script: Some(script), ..plain.clone() },
            Record { request, ..plain.clone() },
            Record { left: Some(long()), ..plain.clone() },
            Record { kept: Some(long()), ..plain.clone() },
        ] {
            assert!(footprint(&record) >= footprint(&plain) + 1000, "{record:?}");
        }
    }
}
