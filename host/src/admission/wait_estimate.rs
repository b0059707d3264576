//! Estimates how long an exchange would wait in the queue.

use std::time::Duration;

use tokio::time::Instant;

/// How many steps must be observed before a forecast is made.
const STEPS_MIN: u32 = 8;

/// Beyond this many steps, older ones count half, because places become free in bursts and the load changes.
const STEPS_MAX: u32 = 64;

/// How fast the queue has moved recently.
#[derive(Debug, Default)]
pub(super) struct WaitEstimate {
    /// When counting of steps began; `None` while the queue is empty.
    since: Option<Instant>,
    /// How many exchanges were admitted since then.
    steps: u32,
    /// When an exchange last gave up, if none was admitted after that.
    stuck: Option<Instant>,
}

impl WaitEstimate {
    /// Whether an exchange behind `others` in the queue is likely to be admitted within `timeout`. If not, it should be
    /// refused at once. An empty queue is always worth joining.
    pub(super) fn is_worth_joining(&self, others: usize, timeout: Duration, now: Instant) -> bool {
        if others == 0 {
            return true;
        }
        let is_stuck = self.stuck.is_some_and(|stuck| now.duration_since(stuck) < timeout);
        // Half of the timeout is a margin for bad forecasts: waiting in vain is worse than being refused at once.
        !is_stuck && self.forecast(others, now).is_none_or(|wait| wait <= timeout / 2)
    }

    /// How long an exchange behind `others` in the queue will wait, if there is enough data.
    fn forecast(&self, others: usize, now: Instant) -> Option<Duration> {
        let elapsed = self.since.filter(|_| self.steps >= STEPS_MIN).map(|since| now.duration_since(since))?;
        let places = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        Some(elapsed.saturating_mul(places) / self.steps)
    }

    /// Records that an exchange joined the queue.
    pub(super) fn join(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Records that the first in the queue was admitted.
    pub(super) fn step(&mut self, now: Instant) {
        self.stuck = None;
        self.steps += 1;
        if let Some(since) = &mut self.since
            && self.steps >= STEPS_MAX
        {
            *since = now - now.duration_since(*since) / 2;
            self.steps /= 2;
        }
    }

    /// Records that an exchange gave up waiting.
    pub(super) fn give_up(&mut self, now: Instant) {
        self.stuck = Some(now);
    }

    /// Records that the queue is empty. The next queue may move at another speed.
    pub(super) fn end(&mut self) {
        (self.since, self.steps) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    /// A queue that has moved `steps` times, once every `pace`.
    fn moving(steps: u32, pace: Duration) -> (WaitEstimate, Instant) {
        let begin = Instant::now();
        let mut estimate = WaitEstimate::default();
        estimate.join(begin);
        (1..=steps).for_each(|step| estimate.step(begin + step * pace));
        (estimate, begin + steps * pace)
    }

    #[test]
    fn an_exchange_that_would_wait_too_long_is_refused_at_once() {
        for steps in [STEPS_MIN, 20, 63, 64, 65, 1000] {
            let (estimate, now) = moving(steps, Duration::from_millis(100));
            assert!(estimate.is_worth_joining(8, TIMEOUT, now), "{steps}: there is enough time");
            assert!(!estimate.is_worth_joining(11, TIMEOUT, now), "{steps}: it would be too close");
        }
    }

    #[test]
    fn a_new_queue_gives_no_forecast() {
        let (estimate, now) = moving(STEPS_MIN - 1, Duration::from_millis(100));
        assert!(estimate.is_worth_joining(255, TIMEOUT, now));
        let (mut estimate, now) = moving(50, Duration::from_millis(100));
        assert!(!estimate.is_worth_joining(255, TIMEOUT, now));
        estimate.end();
        assert!(estimate.is_worth_joining(255, TIMEOUT, now), "the next queue starts over");
    }

    #[test]
    fn a_queue_that_stops_moving_counts_as_slower_with_time() {
        let (estimate, now) = moving(50, Duration::from_millis(10));
        assert!(estimate.is_worth_joining(90, TIMEOUT, now));
        assert!(!estimate.is_worth_joining(90, TIMEOUT, now + Duration::from_millis(500)));
    }

    #[test]
    fn an_exchange_behind_others_that_gave_up_is_refused_at_once() {
        let now = Instant::now();
        let mut estimate = WaitEstimate::default();
        estimate.join(now);
        estimate.give_up(now + TIMEOUT);
        assert!(!estimate.is_worth_joining(1, TIMEOUT, now + TIMEOUT));
        assert!(estimate.is_worth_joining(0, TIMEOUT, now + TIMEOUT), "one exchange must try");
        assert!(estimate.is_worth_joining(1, TIMEOUT, now + 2 * TIMEOUT), "the failure is long ago");
        estimate.step(now + TIMEOUT);
        assert!(estimate.is_worth_joining(1, TIMEOUT, now + TIMEOUT), "it moves again");
    }
}
