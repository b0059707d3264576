//! Timeouts and minimum data rates for clients.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Duration, Instant, Sleep, sleep_until};

use crate::base::limits::Limits;

/// A timeout that is renewed with every request and almost never expires, so renewing must be cheap: the timer is not
/// moved, but set again if it fires too early.
pub(super) struct Timeout {
    until: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Timeout {
    /// Expires at this time.
    pub(super) fn at(until: Instant) -> Self {
        Self { until, timer: Box::pin(sleep_until(until)) }
    }

    /// Expires `time` from now.
    pub(super) fn renew(&mut self, time: Duration) {
        self.until = Instant::now() + time;
        if self.until < self.timer.deadline() {
            self.timer.as_mut().reset(self.until);
        }
    }

    /// Ready when the timeout has expired.
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

/// How slowly a client may send or accept data. Only time that we spend waiting for it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long it may make no progress.
    pub(super) stall: Duration,
    /// The minimum rate in bytes per second; 0 for none.
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

/// How long the rate is measured before it is checked: the first time, and from then on.
const FIRST_WINDOW: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(30);

/// Enforces a [`Pace`].
pub(super) struct PaceMaker {
    pace: Pace,
    window: Duration,
    /// The time waited and the bytes moved in this window.
    waited: Duration,
    moved: u64,
    waiting: Option<Waiting>,
}

/// A wait without progress.
struct Waiting {
    since: Instant,
    timeout: Timeout,
}

impl PaceMaker {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, window: FIRST_WINDOW, waited: Duration::ZERO, moved: 0, waiting: None }
    }

    /// Records progress.
    pub(super) fn moved(&mut self, bytes: usize) {
        if let Some(waiting) = self.waiting.take() {
            self.waited += waiting.since.elapsed();
        }
        self.moved += bytes as u64;
    }

    /// Ready when the client is too slow. Call it only while there is no progress.
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
            // Progress in one window does not count for the next.
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
    async fn a_renewed_timeout_ends_later_or_sooner() {
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
    async fn c2_a_client_that_sends_too_little_is_too_slow_but_may_pause_while_not_waited_for() {
        let second = Duration::from_secs(1);
        let mut maker = PaceMaker::new(Pace { stall: 30 * second, rate: 240 });
        for _ in 0..4 {
            assert!(!too_slow(&mut maker, second).await);
            maker.moved(10);
            // It may pause while nothing waits for it.
            tokio::time::sleep(100 * second).await;
        }
        assert!(too_slow(&mut maker, 2 * second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn c2_a_client_that_sends_enough_may_continue_for_ever_but_not_stall() {
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
    async fn without_a_rate_only_a_stall_is_too_slow() {
        let second = Duration::from_secs(1);
        let mut maker = PaceMaker::new(Pace { stall: 30 * second, rate: 0 });
        for _ in 0..20 {
            assert!(!too_slow(&mut maker, 29 * second).await);
            maker.moved(1);
        }
        assert!(too_slow(&mut maker, 31 * second).await);
    }
}
