//! Many doing the same at once.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What threads need that only wait for sockets.
const STACK: usize = 256 << 10;

/// Does something so many times, so many at once: what came of it, in no order.
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
                    results.lock().expect("nobody panics in here").push(result);
                }
            };
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).expect("there are threads left");
        }
    });
    results.into_inner().expect("nobody panics in here")
}
