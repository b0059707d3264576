//! Polls a call again at once if it only lets others take a turn.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// How many turns a call may take in one poll, before others on the thread get theirs.
const TURNS_MAX: usize = 16;

/// What a call does after its turns.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// It waits for something.
    Wait,
    /// It would go on. Its task has been woken.
    GoOn,
    /// Nothing: this is its result.
    End(T),
}

/// Polls `call` until it waits for something. The tasks of a handler yield to each other by waking themselves, and what
/// one of them writes may be all that the response consists of as soon as the next one has run.
pub(super) fn take<F: Future>(mut call: Pin<&mut F>, cx: &Context<'_>) -> Next<F::Output> {
    let turn = Arc::new(Turn { state: AtomicU8::new(WAITING), waker: cx.waker().clone() });
    let waker = Waker::from(Arc::clone(&turn));
    for _ in 0..TURNS_MAX {
        turn.state.store(POLLED, Ordering::Release);
        if let Poll::Ready(output) = call.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Next::End(output);
        }
        if turn.state.swap(WAITING, Ordering::AcqRel) == POLLED {
            return Next::Wait;
        }
    }
    cx.waker().wake_by_ref();
    Next::GoOn
}

const WAITING: u8 = 0;
const POLLED: u8 = 1;
/// Polled, and woken in the meantime.
const WOKEN: u8 = 2;

/// Wakes the task of a call, unless the call is polled anyway.
struct Turn {
    state: AtomicU8,
    waker: Waker,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.compare_exchange(POLLED, WOKEN, Ordering::AcqRel, Ordering::Acquire) == Err(WAITING) {
            self.waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, sync::atomic::AtomicUsize};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_call_that_yields_is_polled_again_at_once() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut left = 3;
        let mut call = pin!(poll_fn(|cx| {
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }));
        assert_eq!(take(call.as_mut(), &Context::from_waker(&waker)), Next::End(()));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_call_that_always_yields_lets_others_run() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut call = pin!(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        assert_eq!(take(call.as_mut(), &Context::from_waker(&waker)), Next::GoOn);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_a_call_waits_for_wakes_its_task() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut kept = None;
        let mut call = pin!(poll_fn(|cx| {
            kept = Some(cx.waker().clone());
            Poll::<()>::Pending
        }));
        assert_eq!(take(call.as_mut(), &Context::from_waker(&waker)), Next::Wait);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        kept.expect("it was polled").wake();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }
}
