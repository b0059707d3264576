//! Compares the server's parser with hyper on generated streams, on all cores: `differential [COUNT [FIRST-SEED]]`.

use std::{
    io::Write as _,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

use wasmserve_fuzz::{
    compare,
    pipeline::{self, Random},
};

fn main() {
    let number = |argument: usize| std::env::args().nth(argument).and_then(|text| text.parse::<u64>().ok());
    let (count, first) = (number(1).unwrap_or(1_000_000), number(2).unwrap_or(1));
    let next = AtomicU64::new(first);
    let (same, stricter) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let mut random = Random::new(seed);
                    let stream = pipeline::mutated(&mut random);
                    let outcome = compare(&stream, &pipeline::cuts(&mut random));
                    same.fetch_add(outcome.same, Ordering::Relaxed);
                    stricter.fetch_add(usize::from(outcome.is_stricter), Ordering::Relaxed);
                }
            });
        }
    });
    let (same, stricter) = (same.into_inner(), stricter.into_inner());
    let summary = format!("{count} streams: {same} requests the same, {stricter} streams refused that hyper takes\n");
    // A failed write cannot be reported.
    _ = std::io::stdout().write_all(summary.as_bytes());
}
