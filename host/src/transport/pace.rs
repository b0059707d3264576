//! How long a client may keep us waiting.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Duration, Instant, Sleep, sleep_until};

use crate::base::limits::Limits;

/// A time limit that is set anew with every request and nearly never reached, so that setting it must cost nothing: the
/// timer behind it stays where it is, and is set again only when it fires too early.
pub(super) struct Timeout {
    until: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Timeout {
    /// Ends at that time.
    pub(super) fn at(until: Instant) -> Self {
        Self { until, timer: Box::pin(sleep_until(until)) }
    }

    /// Begins again, now.
    pub(super) fn renew(&mut self, time: Duration) {
        self.until = Instant::now() + time;
        if self.until < self.timer.deadline() {
            self.timer.as_mut().reset(self.until);
        }
    }

    /// Ready when it is exhausted.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= self.until {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.until);
        }
        Poll::Pending
    }
}

/// How slowly a client may send or take bytes, where only the time counts in which we wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long it may do nothing.
    pub(super) stall: Duration,
    /// How many bytes a second are enough.
    pub(super) rate: u32,
}

impl Pace {
    /// For request bodies (rule I12).
    pub(super) fn of_bodies(limits: &Limits) -> Self {
        Self { stall: limits.body_timeout, rate: limits.rate }
    }

    /// For responses.
    pub(super) fn of_responses(limits: &Limits) -> Self {
        Self { stall: limits.write_timeout, rate: limits.rate }
    }
}

/// Over how long the rate is measured, the first time and from then on.
const FIRST_WINDOW: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(30);

/// Keeps a client to a [`Pace`].
pub(super) struct PaceMaker {
    pace: Pace,
    window: Duration,
    /// What we have waited and what has moved in this window.
    waited: Duration,
    moved: u64,
    waiting: Option<Waiting>,
}

/// Nothing moves.
struct Waiting {
    since: Instant,
    timeout: Timeout,
}

impl PaceMaker {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, window: FIRST_WINDOW, waited: Duration::ZERO, moved: 0, waiting: None }
    }

    /// Bytes have moved.
    pub(super) fn moved(&mut self, bytes: usize) {
        if let Some(waiting) = self.waiting.take() {
            self.waited += waiting.since.elapsed();
        }
        self.moved += bytes as u64;
    }

    /// Ready when the client is too slow. Asked while nothing moves.
    pub(super) fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let window_left = match self.pace.rate {
                0 => self.pace.stall,
                _ => self.window.saturating_sub(self.waited),
            };
            let waiting = self.waiting.get_or_insert_with(|| {
                let since = Instant::now();
                Waiting { since, timeout: Timeout::at(since + window_left.min(self.pace.stall)) }
            });
            ready!(waiting.timeout.poll_end(cx));
            let enough = self.window.as_secs() * u64::from(self.pace.rate);
            if waiting.since.elapsed() >= self.pace.stall || self.moved < enough {
                return Poll::Ready(());
            }
            // What has moved in one window is nothing for the next.
            (self.window, self.waited, self.moved) = (WINDOW, Duration::ZERO, 0);
            let until = (Instant::now() + self.window).min(waiting.since + self.pace.stall);
            waiting.timeout = Timeout::at(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_renewed_ends_later_or_sooner() {
        let begin = Instant::now();
        let mut timeout = Timeout::at(begin + Duration::from_secs(10));
        timeout.renew(Duration::from_secs(15));
        poll_fn(|cx| timeout.poll_end(cx)).await;
        assert_eq!(begin.elapsed().as_secs(), 15);
        timeout.renew(Duration::from_secs(10));
        timeout.renew(Duration::from_secs(2));
        poll_fn(|cx| timeout.poll_end(cx)).await;
        assert_eq!(begin.elapsed().as_secs(), 17);
    }

    async fn too_slow(maker: &mut PaceMaker, within: Duration) -> bool {
        tokio::time::timeout(within, poll_fn(|cx| maker.poll_too_slow(cx))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn c2_who_sends_too_little_is_too_slow_and_a_rest_is_not_held_against_anybody() {
        let second = Duration::from_secs(1);
        let mut maker = PaceMaker::new(Pace { stall: 30 * second, rate: 240 });
        for _ in 0..4 {
            assert!(!too_slow(&mut maker, second).await);
            maker.moved(10);
            // While nobody waits for it, it may rest.
            tokio::time::sleep(100 * second).await;
        }
        assert!(too_slow(&mut maker, 2 * second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn c2_who_sends_enough_may_go_on_for_ever_but_not_stop() {
        let second = Duration::from_secs(1);
        let mut maker = PaceMaker::new(Pace { stall: 30 * second, rate: 240 });
        for _ in 0..200 {
            assert!(!too_slow(&mut maker, second).await);
            maker.moved(400);
        }
        let begin = Instant::now();
        assert!(too_slow(&mut maker, 100 * second).await);
        assert!(begin.elapsed() <= 30 * second);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_only_a_stall_counts() {
        let second = Duration::from_secs(1);
        let mut maker = PaceMaker::new(Pace { stall: 30 * second, rate: 0 });
        for _ in 0..20 {
            assert!(!too_slow(&mut maker, 29 * second).await);
            maker.moved(1);
        }
        assert!(too_slow(&mut maker, 31 * second).await);
    }
}
