//! Runs a task many times, several at once.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Enough stack for threads that only wait for sockets.
const STACK: usize = 256 << 10;

/// Runs a task `count` times, up to `at_once` at the same time, and returns the results in no particular order.
pub(super) fn each<T: Send>(count: usize, at_once: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..at_once.min(count) {
            let work = || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let result = work(number);
                    results.lock().expect("no thread panics while it holds the lock").push(result);
                }
            };
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).expect("the system has threads left");
        }
    });
    results.into_inner().expect("no thread panics while it holds the lock")
}
